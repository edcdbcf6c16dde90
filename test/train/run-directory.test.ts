// The output directory of a run belongs to one training, and other files in it stay.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync, existsSync, rmSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { findModel, listCheckpoints } from '../../lib/model/checkpoint';
import { lockDirectory } from '../../lib/train/directory-lock';
import { foretokenError } from '../support/errors';
import { TrainingSetup } from '../support/training-setup';
import { trainSteps, weightsOf } from '../support/training';

const { temporary, create } = new TrainingSetup();

const names = (directory: string): string[] => readdirSync(directory).sort();

describe('the lock', () => {
  it('excludes other trainings of this process until it is released', async () => {
    const output = temporary.at('run');
    const first = await create({ output });
    const held = foretokenError('INVALID_ARGUMENT', output, 'another training', String(process.pid));
    await expect(create({ output })).rejects.toEqual(held);
    using elsewhere = await create();
    await expect(elsewhere.save(output)).rejects.toEqual(held);
    first.dispose();
    using second = await create({ output });
    expect((await second.run()).completed).toBe(true);
    second.dispose();
    expect(names(output)).toEqual(['checkpoint-6', 'foretoken-log.jsonl']);
  });

  it.each([
    ['of a dead process', () => ({ pid: deadProcess(), host: hostname(), started: null, since: '' })],
    [
      'of an earlier process with the same number',
      () => ({ pid: process.pid, host: hostname(), started: 'x 1' }),
    ],
  ])('%s is taken over', async (_, owner) => {
    const path = temporary.write('run/.foretoken-lock', JSON.stringify(owner()));
    const lock = await lockDirectory(temporary.at('run'));
    expect(JSON.parse(readFileSync(path, 'utf8'))).toMatchObject({ pid: process.pid });
    lock.release();
    expect(names(temporary.at('run'))).toEqual([]);
  });

  it('is taken by exactly one of many at once', async () => {
    const owner = { pid: deadProcess(), host: hostname(), started: null };
    for (let i = 0; i < 20; i++) {
      temporary.write('run/.foretoken-lock', JSON.stringify(owner));
      const acquired = await Promise.allSettled(
        Array.from({ length: 6 }, () => lockDirectory(temporary.at('run'))),
      );
      const taken = acquired.filter((each) => each.status === 'fulfilled');
      expect(taken).toHaveLength(1);
      taken[0]!.value.release();
      expect(names(temporary.at('run'))).toEqual([]);
    }
  });

  it('is taken over after a process that took it over died in the middle', async () => {
    const dead = JSON.stringify({ pid: deadProcess(), host: hostname(), started: null });
    for (const name of ['.foretoken-lock', '.foretoken-lock-takeover']) temporary.write(`run/${name}`, dead);
    const lock = await lockDirectory(temporary.at('run'));
    expect(names(temporary.at('run'))).toEqual(['.foretoken-lock']);
    lock.release();
  });

  it('removes the directories made for it, and no others', async () => {
    temporary.write('mine/.keep', '');
    const path = temporary.at('mine/a/b');
    (await lockDirectory(path)).release();
    expect(names(temporary.at('mine'))).toEqual(['.keep']);
    const lock = await lockDirectory(path);
    temporary.write('mine/a/b/notes.txt', '');
    lock.release();
    expect(names(path)).toEqual(['notes.txt']);
    mkdirSync(temporary.at('empty'));
    (await lockDirectory(temporary.at('empty'))).release();
    expect(existsSync(temporary.at('empty'))).toBe(true);
  });

  it('of another host is respected', async () => {
    const path = temporary.write(
      'run/.foretoken-lock',
      '{"pid":1,"host":"elsewhere.example","started":null}',
    );
    await expect(create({ output: temporary.at('run') })).rejects.toEqual(
      foretokenError('INVALID_ARGUMENT', 'elsewhere.example', `delete ${path}`),
    );
  });
});

function deadProcess(): number {
  return spawnSync(process.execPath, ['-e', '']).pid;
}

describe('a file of others in the directory', () => {
  it('is not deleted with old checkpoints', async () => {
    const output = temporary.at('run');
    temporary.write('run/checkpoint-5/notes.txt', 'mine');
    using trainer = await create({ output, saveEvery: 1, keepCheckpoints: 1 });
    const warnings: string[] = [];
    await trainer.run({
      onStep: ({ step }) => {
        if (step === 3) writeFileSync(join(output, 'checkpoint-2/more.txt'), 'mine, too');
      },
      onWarning: (message) => warnings.push(message),
    });
    // Files in the way of checkpoint-5, and in checkpoint-2, which is to be deleted.
    expect(readFileSync(join(output, 'checkpoint-5.old/notes.txt'), 'utf8')).toBe('mine');
    expect(warnings).toEqual([expect.stringContaining('checkpoint-5.old')]);
    expect(names(join(output, 'checkpoint-2'))).toEqual(['more.txt']);
    expect((await listCheckpoints(output)).map(({ step }) => step)).toEqual([6]);
  });

  it('does not count as a checkpoint', async () => {
    const output = temporary.at('run');
    {
      using trainer = await create({ output, steps: 2 });
      await trainer.run();
    }
    mkdirSync(join(output, 'checkpoint-99999'));
    temporary.write('run/checkpoint-88888/config.json', '{}');
    temporary.write('run/checkpoint-77777', 'a file');
    expect(await findModel(output)).toBe(join(output, 'checkpoint-2'));
    using resumed = await create({ output, resume: output, steps: 4 });
    expect(resumed.step).toBe(2);
    await resumed.run();
    expect(names(output).filter((name) => /\d{5}/.test(name))).toHaveLength(3);
  });

  it('is not taken for the log', async () => {
    const log = temporary.write('run/foretoken-log.jsonl', '{"text":"a data set"}\n');
    using trainer = await create({ output: temporary.at('run') });
    await expect(trainer.run()).rejects.toEqual(foretokenError('INVALID_ARGUMENT', log, 'no training log'));
    expect(readFileSync(log, 'utf8')).toBe('{"text":"a data set"}\n');
    const other = temporary.write('other/train.jsonl', '{"text":"a data set"}\n');
    using beside = await create({ output: temporary.at('other') });
    await beside.run();
    expect(readFileSync(other, 'utf8')).toBe('{"text":"a data set"}\n');
  });
});

it('a log that cannot be opened ends a run with the name of the checkpoint that is kept', async () => {
  const output = temporary.at('run');
  const log = join(output, 'foretoken-log.jsonl');
  temporary.write('run/foretoken-log.jsonl/a-directory', '');
  {
    using trainer = await create({ output, steps: 2 });
    await expect(trainer.run()).rejects.toEqual(
      foretokenError('FILE_ACCESS', 'step 0', log, 'nothing was saved: begin again'),
    );
    rmSync(log, { recursive: true });
    await trainer.run();
  }
  rmSync(log);
  temporary.write('run/foretoken-log.jsonl/a-directory', '');
  using resumed = await create({ output, resume: output, steps: 4 });
  await expect(resumed.run()).rejects.toEqual(
    foretokenError('FILE_ACCESS', 'step 2', log, `${output}/checkpoint-2 is kept: resume from it`),
  );
});

it('removes unfinished files of killed runs', async () => {
  const ours = ['.tmp-checkpoint-5-0123456789ab', '.tmp-foretoken-log.jsonl-0123456789ab'];
  const others = ['.tmp-checkpoint-5-mine', '.tmp-else-0123456789ab'];
  for (const name of [...ours, ...others]) temporary.write(`run/${name}/model.safetensors`, '');
  using trainer = await create({ output: temporary.at('run') });
  expect(names(temporary.at('run'))).toEqual(['.foretoken-lock', ...others]);
  expect(trainer.step).toBe(0);
});

describe('a checkpoint', () => {
  it('holds one whole step even if it is requested during a run', async () => {
    const saves: Promise<string>[] = [];
    using trainer = await create({ steps: 20 });
    await trainer.run({
      onStep: ({ step }) => {
        if (step % 5 === 0) saves.push(trainer.save(temporary.at('run')));
      },
    });
    expect(saves).toHaveLength(4);
    for (const [i, path] of (await Promise.all(saves)).slice(-2).entries()) {
      using straight = await create({ steps: 20 });
      await trainSteps(straight, 15 + 5 * i);
      using saved = await create({ steps: 20, resume: path });
      expect(await weightsOf(saved)).toEqual(await weightsOf(straight));
    }
  });

  it('is not saved by two runs at once', async () => {
    using trainer = await create();
    const run = trainer.run();
    const busy = foretokenError('INVALID_ARGUMENT', 'the trainer is running');
    await expect(trainer.run()).rejects.toEqual(busy);
    await expect(trainer.trainStep()).rejects.toEqual(busy);
    expect((await run).step).toBe(6);
  });

  it('is saved before every evaluation, which the signal aborts', async () => {
    const output = temporary.at('run');
    const controller = new AbortController();
    using trainer = await create({ output });
    const result = await trainer.run({
      signal: controller.signal,
      onEvaluationProgress: () => {
        expect(existsSync(join(output, 'checkpoint-6'))).toBe(true);
        controller.abort();
      },
    });
    expect(result).toMatchObject({ step: 6, completed: true, evaluation: null });
  });

  it('is saved every saveEveryMinutes minutes', async () => {
    const now = jest.spyOn(performance, 'now');
    let minutes = 0;
    now.mockImplementation(() => minutes * 60_000);
    try {
      const saved: number[] = [];
      using trainer = await create({ output: temporary.at('run'), steps: 30, heldOut: 0 });
      await trainer.run({ onStep: () => (minutes += 3), onCheckpoint: (_, step) => saved.push(step) });
      expect(saved).toEqual([4, 8, 12, 16, 20, 24, 28, 30]);
    } finally {
      now.mockRestore();
    }
  });

  it('that cannot be saved ends the run only if it is the last one', async () => {
    const output = temporary.at('run');
    const warnings: string[] = [];
    using trainer = await create({ output, steps: 7, saveEvery: 2, evalEvery: 5 });
    const run = trainer.run({
      // A broken link, which can be neither read nor replaced.
      onStep: ({ step }) => {
        if (step === 3) rmSync(output, { recursive: true });
        if (step === 3) writeFileSync(output, '');
      },
      onWarning: (message) => warnings.push(message),
    });
    await expect(run).rejects.toEqual(
      foretokenError('FILE_ACCESS', 'step 7', 'checkpoint-7', 'checkpoint-2 is kept: resume from it'),
    );
    const next = (step: number): unknown =>
      expect.stringContaining(
        `the run goes on and tries again after step ${step}, or in a minute if that is`,
      );
    expect(warnings).toEqual([next(5), next(6), next(7)]);
  });
});

describe('a run that diverges', () => {
  const learningRate = { schedule: 'constant', peak: 1e-3 } as const;

  it('keeps its weights finite, and does not overwrite good checkpoints', async () => {
    using trainer = await create({ learningRate: { ...learningRate, peak: 1e12 }, keepCheckpoints: 1 });
    const diverged = foretokenError('DIVERGED', 'a lower learning rate than 1000000000000');
    await expect(trainSteps(trainer, 6)).rejects.toEqual(diverged);
    for (const values of (await weightsOf(trainer)).values())
      expect(values.every(Number.isFinite)).toBe(true);
    await expect(trainer.save(temporary.at('run'))).rejects.toEqual(diverged);
    await expect(trainer.trainStep()).rejects.toEqual(diverged);
  });

  it('continues as its message says', async () => {
    const output = temporary.at('run');
    const plan = { output, steps: 8, saveEvery: 1, keepCheckpoints: 1 };
    {
      using trainer = await create({ ...plan, steps: 3, learningRate });
      await trainer.run();
    }
    {
      using trainer = await create({ ...plan, resume: output, learningRate: { peak: 1e12 } });
      const message = await trainer.run().catch((error: unknown) => (error as Error).message);
      expect(message).toMatch(/checkpoint-4 has these weights and is now .*diverged-checkpoint-4/);
      expect(message).toContain(
        `resume from ${output}/checkpoint-3 with a lower learning rate than 1000000000000`,
      );
    }
    expect(names(output)).toEqual(['checkpoint-3', 'diverged-checkpoint-4', 'foretoken-log.jsonl']);
    using trainer = await create({ ...plan, resume: output, learningRate });
    expect(await trainer.run()).toMatchObject({ step: 8, completed: true });
  });
});
