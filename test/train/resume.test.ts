import { cpSync, readFileSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readSafetensors, writeSafetensors, type NamedTensor } from '../../lib/model/safetensors';
import { native } from '../../lib/native/load';
import { openDevice } from '../../lib/tensor/device';
import type { TrainerOptions } from '../../lib/train/options';
import type { StepResult } from '../../lib/train/run';
import type { Trainer } from '../../lib/train/trainer';
import { foretokenError } from '../support/errors';
import { TrainingSetup } from '../support/training-setup';
import { tinyCorpus, tinyModel, trainSteps, weightsOf } from '../support/training';

const { temporary, create } = new TrainingSetup({
  model: tinyModel('sequential', 3),
  learningRate: { schedule: 'cosine', peak: 0.01, warmupSteps: 2 },
  curriculum: { kind: 'forward', steps: 6 },
});

/** Runs three steps and returns the checkpoint. */
async function stopped(more: Partial<TrainerOptions> = {}): Promise<string> {
  using trainer = await create(more);
  await trainSteps(trainer, 3);
  return await trainer.save(temporary.at('run'));
}

function changeState(checkpoint: string, change: (state: { recipe: Record<string, unknown> }) => void): void {
  const path = join(checkpoint, 'trainer_state.json');
  const state = JSON.parse(readFileSync(path, 'utf8')) as { recipe: Record<string, unknown> };
  change(state);
  writeFileSync(path, JSON.stringify(state));
}

const untimed = (results: StepResult[]): unknown[] => results.map(({ seconds: _, ...result }) => result);

describe('a resumed run equals an uninterrupted one', () => {
  it.each([1, 2, 3])('to the bit, with %d threads', async (threads) => {
    using straight = await create();
    const expected = untimed(await trainSteps(straight, 6)).slice(3);
    const checkpoint = await stopped();
    using other = openDevice('cpu', { threads, poison: true });
    using resumed = await create({ device: other, resume: checkpoint });
    expect(resumed.step).toBe(3);
    expect(untimed(await trainSteps(resumed, 3))).toEqual(expected);
    expect(await weightsOf(resumed)).toEqual(await weightsOf(straight));
    expect(resumed.tokens).toBe(straight.tokens);
  });

  it('in its files and its log', async () => {
    const straight = temporary.at('straight');
    const interrupted = temporary.at('interrupted');
    using one = await create({ output: straight });
    await one.run();
    const controller = new AbortController();
    {
      using two = await create({ output: interrupted });
      await two.run({ signal: controller.signal, onStep: ({ step }) => step === 3 && controller.abort() });
    }
    using three = await create({ output: interrupted, resume: interrupted });
    await three.run();
    for (const name of readdirSync(join(straight, 'checkpoint-6'))) {
      const [a, b] = [straight, interrupted].map((run) => readFileSync(join(run, 'checkpoint-6', name)));
      expect([name, a!.equals(b!)]).toEqual([name, true]);
    }
    const [a, b] = [straight, interrupted].map((run) =>
      readFileSync(join(run, 'foretoken-log.jsonl'), 'utf8').replaceAll(/"seconds":[^,}]*/g, ''),
    );
    expect(b).toBe(a);
  });

  it('from a checkpoint of an earlier version, without dtype', async () => {
    const checkpoint = await stopped();
    changeState(checkpoint, (state) => delete state.recipe.dtype);
    using resumed = await create({ resume: checkpoint });
    expect(resumed.step).toBe(3);
  });

  it('with a given model', async () => {
    const checkpoint = await stopped();
    using first = await create({ resume: checkpoint });
    using second = await create({ model: first.model, resume: checkpoint });
    expect(second.model).toBe(first.model);
    expect(second.step).toBe(3);
  });
});

it('keeps the newest checkpoints', async () => {
  using trainer = await create({ keepCheckpoints: 2 });
  for (let i = 0; i < 4; i++) {
    await trainer.trainStep();
    await trainer.save(temporary.at('run'));
  }
  expect(readdirSync(temporary.at('run')).sort()).toEqual(['checkpoint-3', 'checkpoint-4']);
});

describe('a run that is made longer', () => {
  const rates = async (trainer: Trainer): Promise<number[]> =>
    (await trainSteps(trainer, 2)).map(({ learningRate }) => learningRate);
  const constant = { schedule: 'constant', peak: 1 } as const;
  const long = { steps: 200, learningRate: constant };

  it('keeps its warm-up', async () => {
    // 2 % of 200 steps are 4: the fourth step is the last of the warm-up.
    const checkpoint = await stopped(long);
    using resumed = await create({ ...long, steps: 500, resume: checkpoint });
    expect(resumed.recipe.learningRate.warmupSteps).toBe(4);
    expect(await rates(resumed)).toEqual([4 / 5, 1]);
  });

  it('takes another learning rate from there on', async () => {
    const checkpoint = await stopped(long);
    const peak = { steps: 200, learningRate: { peak: 0.5 }, resume: checkpoint };
    using lower = await create(peak);
    expect(lower.recipe.learningRate).toEqual({ schedule: 'constant', peak: 0.5, warmupSteps: 4 });
    expect(await rates(lower)).toEqual([0.4, 0.5]);
    using warmer = await create({ ...long, learningRate: { warmupSteps: 10 }, resume: checkpoint });
    expect(await rates(warmer)).toEqual([4 / 11, 5 / 11]);
  });
});

describe('refuses to resume', () => {
  it.each<[string, Partial<TrainerOptions>]>([
    ['batchSize', { batchSize: 3 }],
    ['seed', { seed: 1 }],
    ['optimizer.beta2', { optimizer: { beta2: 0.9 } }],
    ['model.mtp.kind', { model: tinyModel('parallel', 3) }],
    ['curriculum.kind', { curriculum: { kind: 'reverse', steps: 6 } }],
  ])('with another %s', async (name, more) => {
    const checkpoint = await stopped();
    const before = native.liveTensors();
    const error: unknown = await create({ ...more, resume: checkpoint }).catch((reason: unknown) => reason);
    expect(error).toEqual(foretokenError('INVALID_ARGUMENT', `${checkpoint}: ${name} was`));
    // The message names no other option.
    expect((error as Error).message).not.toContain(';');
    expect(native.liveTensors()).toBe(before);
  });

  it('with another dtype', async () => {
    const checkpoint = await stopped();
    changeState(checkpoint, (state) => (state.recipe.dtype = 'bfloat16'));
    await expect(create({ dtype: 'float32', resume: checkpoint })).rejects.toEqual(
      foretokenError('INVALID_ARGUMENT', checkpoint, 'dtype was "bfloat16" and is "float32"'),
    );
  });

  it('with another corpus', async () => {
    const checkpoint = await stopped();
    const other = await tinyCorpus(temporary.at('other'), 13);
    await expect(create({ data: other, resume: checkpoint })).rejects.toEqual(
      foretokenError('INVALID_ARGUMENT', 'corpus'),
    );
    await other.close();
  });

  it('without a checkpoint', async () => {
    const resume = temporary.write('empty/notes.txt', '').replace('/notes.txt', '');
    await expect(create({ resume })).rejects.toEqual(foretokenError('FILE_ACCESS', resume, 'checkpoint'));
  });

  it('over the checkpoints of another run', async () => {
    await stopped();
    await expect(create({ output: temporary.at('run') })).rejects.toEqual(
      foretokenError('INVALID_ARGUMENT', temporary.at('run'), 'resume'),
    );
  });
});

describe('refuses a damaged checkpoint', () => {
  let checkpoint: string;
  beforeEach(async () => {
    checkpoint = await stopped();
  });
  const resume = (): Promise<Trainer> => create({ resume: checkpoint });

  it.each(['model.safetensors', 'optimizer.safetensors'])('%s with a changed byte', async (name) => {
    const bytes = readFileSync(join(checkpoint, name));
    bytes[bytes.length - 3]! ^= 1;
    writeFileSync(join(checkpoint, name), bytes);
    const before = native.liveTensors();
    await expect(resume()).rejects.toEqual(foretokenError('CORRUPT_FILE', name, 'tensor "', 'checksum'));
    expect(native.liveTensors()).toBe(before);
  });

  it.each(['model.safetensors', 'optimizer.safetensors'])('%s truncated', async (name) => {
    truncateSync(join(checkpoint, name), readFileSync(join(checkpoint, name)).length - 5);
    await expect(resume()).rejects.toEqual(foretokenError('CORRUPT_FILE', name, 'tensor "', 'truncated'));
  });

  it.each([
    'model.safetensors',
    'optimizer.safetensors',
    'trainer_state.json',
    'tokenizer.json',
    'config.json',
  ])('%s missing', async (name) => {
    rmSync(join(checkpoint, name));
    // A resumed run gets its tokenizer and configuration from its options.
    if (name === 'tokenizer.json') (await resume()).dispose();
    else await expect(resume()).rejects.toEqual(foretokenError('FILE_ACCESS'));
  });

  it('without one of the running means', async () => {
    const path = join(checkpoint, 'optimizer.safetensors');
    const file = await readSafetensors(path);
    const kept: NamedTensor[] = [];
    for (const name of file.names) {
      if (name !== 'v.lm_head.weight') kept.push({ name, ...file.info(name), data: await file.read(name) });
    }
    await file.close();
    await writeSafetensors(path, kept, file.metadata);
    await expect(resume()).rejects.toEqual(foretokenError('CORRUPT_FILE', 'lacks tensor "v.lm_head.weight"'));
  });

  it('assembled from two checkpoints', async () => {
    using trainer = await create();
    const other = await trainer.save(temporary.at('other'));
    cpSync(join(other, 'optimizer.safetensors'), join(checkpoint, 'optimizer.safetensors'));
    await expect(resume()).rejects.toEqual(foretokenError('CORRUPT_FILE', 'step 0', 'step 3'));
  });

  it.each<[string, (state: Record<string, unknown>) => void, string]>([
    ['another version', (state) => (state.version = 2), 'version 2'],
    ['a negative step', (state) => (state.step = -1), 'step must be an integer of at least 0, but is -1'],
    ['no tokens', (state) => delete state.tokens, 'tokens is missing; it must be an integer of at least 0'],
    ['no position', (state) => delete state.order, 'order'],
    ['no recipe', (state) => (state.recipe = {}), 'learningRate'],
  ])('state with %s', async (_, change, part) => {
    const path = join(checkpoint, 'trainer_state.json');
    const state = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
    change(state);
    writeFileSync(path, JSON.stringify(state));
    await expect(resume()).rejects.toEqual(foretokenError('CORRUPT_FILE', path, part));
  });
});
