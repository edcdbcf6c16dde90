// After any accident of a run, all reported checkpoints exist, files of others are unchanged, and the resumed run ends with the
// weights of an undisturbed one.
import { createHash } from 'node:crypto';
import { openSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { LanguageModel } from '../../lib/decode/language-model';
import { listCheckpoints } from '../../lib/model/checkpoint';
import { openDevice } from '../../lib/tensor/device';
import { Trainer } from '../../lib/train/trainer';
import { startCliWith, type Ended } from '../support/cli';
import type { Start } from '../support/process';
import { Random } from '../support/random';
import { SmallDisk } from '../support/small-disk';
import { TemporaryDirectory } from '../support/temporary';
import { tinyCorpus, tinyModel, tokenizer } from '../support/training';

const SEED = 7;
const STEPS = 400;
const SAVE_EVERY = 4;
const temporary = new TemporaryDirectory();

function start(how: Start, output: string): ReturnType<typeof startCliWith> {
  const sizes = '--hidden-size 16 --layers 2 --attention-heads 2 --heads 2 --sequence-length 32 --threads 1';
  const plan = `--batch-size 2 --held-out 0.1 --steps ${STEPS} --save-every ${SAVE_EVERY} --eval-every 50`;
  const flags = `${sizes} ${plan}`.split(' ');
  return startCliWith(how, 'train', temporary.at('text'), '-o', output, '--resume', ...flags);
}

beforeEach(() => {
  temporary.write('text/one.txt', 'All work and no play makes Jack a dull boy. '.repeat(60));
});

/** SHA-256 over the last checkpoint's weights, optimizer and position in the data. */
function outcome(output: string): string {
  const hash = createHash('sha256');
  for (const name of ['model.safetensors', 'optimizer.safetensors', 'trainer_state.json']) {
    hash.update(readFileSync(join(output, `checkpoint-${STEPS}`, name)));
  }
  return hash.digest('hex');
}

async function straight(): Promise<string> {
  const { code, stderr } = await start({}, temporary.at('straight')).ended;
  expect([code, stderr]).toEqual([0, expect.stringContaining('the run begins')]);
  return outcome(temporary.at('straight'));
}

/** Steps of the newest whole checkpoint. */
const newest = async (output: string): Promise<number> => (await listCheckpoints(output)).at(-1)?.step ?? 0;

/** Waits until a run has saved a checkpoint or has ended. */
async function saves(output: string, step: number, ended: Promise<Ended>): Promise<void> {
  let over = false;
  void ended.then(() => (over = true));
  while (!over && (await newest(output)) < step) await sleep(2);
}

/** Files of others among the files of a run, some in the way of checkpoints. */
const STRANGERS = [
  'notes.txt',
  'checkpoint-9.txt',
  'data/train.jsonl',
  '.tmp-mine',
  'checkpoint-24/notes.txt',
];

function plant(run: string): void {
  for (const name of STRANGERS) temporary.write(join(run, name), `not of the run: ${name}`);
}

function expectStrangers(output: string): void {
  const names = readdirSync(output, { recursive: true, encoding: 'utf8', withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.name.includes('foretoken'))
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'utf8'));
  for (const name of STRANGERS) expect(names).toContain(`not of the run: ${name}`);
}

/** Checks that every checkpoint can be loaded, and that the last reported one exists. */
async function expectKept(output: string, ...runs: Ended[]): Promise<void> {
  using device = openDevice('cpu', { threads: 1 });
  for (const { path } of await listCheckpoints(output)) {
    using model = await LanguageModel.load(path, { device });
    expect(model.model.numHeads).toBeGreaterThan(1);
  }
  const reported = runs.flatMap(({ stderr }) => [...stderr.matchAll(/^saved .*checkpoint-(\d+)$/gm)]);
  const last = Math.max(0, ...reported.map((match) => Number(match[1])));
  expect(await newest(output)).toBeGreaterThanOrEqual(last);
}

/** Checks that the last line says which checkpoint is kept and how to go on. */
async function expectAdvice(
  output: string,
  { code, stdout, stderr }: Ended,
  codes: (number | null)[],
): Promise<void> {
  const step = await newest(output);
  const last = (stdout || stderr).trimEnd().split('\n').at(-1)!;
  if (code === 0) {
    expect(stdout).toContain(`checkpoint-${STEPS}`);
    return;
  }
  expect(codes).toContain(code);
  expect(last).toMatch(/go on with --resume|resume from it/);
  expect(last).toContain(join(output, `checkpoint-${step}`));
}

/** An accident of a run, and the check of how the run ended. */
type Accident = (output: string, random: Random) => Promise<Ended[]>;

/** Starts a run and causes an accident after its first save, at a random moment of a step, a save or an evaluation. */
async function disturbed(
  output: string,
  random: Random,
  how: Start,
  disturb: (run: ReturnType<typeof startCliWith>) => unknown,
): Promise<Ended> {
  const goal = (await newest(output)) + SAVE_EVERY * (1 + random.integer(4));
  const run = start(how, output);
  await saves(output, goal, run.ended);
  await sleep(random.integer(60));
  await disturb(run);
  return run.ended;
}

const signalled =
  (name: 'SIGTERM' | 'SIGHUP' | 'SIGINT', code: number): Accident =>
  async (output, random) => {
    const ended = await disturbed(output, random, {}, ({ child }) => child.kill(name));
    await expectAdvice(output, ended, [code]);
    return [ended];
  };

const ACCIDENTS: [string, Accident][] = [
  [
    'SIGKILL',
    async (output, random) => [await disturbed(output, random, {}, ({ child }) => child.kill('SIGKILL'))],
  ],
  [
    'SIGKILL while it starts',
    async (output, random) => {
      const { child, ended } = start({}, output);
      await sleep(random.integer(2000));
      child.kill('SIGKILL');
      return [await ended];
    },
  ],
  ['SIGTERM', signalled('SIGTERM', 143)],
  ['SIGHUP', signalled('SIGHUP', 129)],
  ['Ctrl-C', signalled('SIGINT', 130)],
  [
    'Ctrl-C twice',
    async (output, random) => {
      const ended = await disturbed(output, random, {}, async ({ child }) => {
        child.kill('SIGINT');
        await sleep(5 + random.integer(10));
        // As if the task under way took long.
        child.kill('SIGSTOP');
        await sleep(1100);
        child.kill('SIGINT');
        child.kill('SIGCONT');
      });
      // A process that has said its last line may be stopped while Node takes it down; then the signal itself ends it.
      await expectAdvice(output, ended, [130, null]);
      return [ended];
    },
  ],
  [
    'no reader, and a closed terminal',
    async (output, random) => {
      const ended = await disturbed(output, random, {}, async ({ child }) => {
        child.stdout!.destroy();
        child.stderr!.destroy();
        await sleep(random.integer(50));
        child.kill('SIGHUP');
      });
      expect([0, 129]).toContain(ended.code);
      return [ended];
    },
  ],
  [
    'output to a disk that is full',
    async (output, random) => {
      const full = openSync('/dev/full', 'w');
      const how: Start = { stdio: ['ignore', full, full] };
      const ended = await disturbed(output, random, how, ({ child }) => child.kill('SIGTERM'));
      // A full output cannot report the end of the run.
      expect([0, 1, 143]).toContain(ended.code);
      return [ended];
    },
  ],
  [
    'files that may not grow',
    async (output, random) => {
      // Enough space for a log, but not for weights.
      const ended = await disturbed(output, random, { fileBlocks: 40 }, () => undefined);
      expect(ended.code).toBe(1);
      if (!ended.stderr.includes('no checkpoint of step')) return [ended];
      const step = await newest(output);
      const kept =
        step === 0 ? 'nothing was saved: begin again' : `checkpoint-${step} is kept: resume from it`;
      expect(ended.stderr.trimEnd().split('\n').at(-1)).toContain(kept);
      return [ended];
    },
  ],
  [
    'two at once',
    async (output, random) => {
      const goal = (await newest(output)) + SAVE_EVERY;
      const runs = [start({}, output), start({}, output)];
      const first = await Promise.race(runs.map((run) => run.ended));
      await saves(
        output,
        goal,
        Promise.all(runs.map((run) => run.ended)).then(() => first),
      );
      await sleep(random.integer(60));
      for (const { child } of runs) child.kill('SIGTERM');
      const ended = await Promise.all(runs.map((run) => run.ended));
      const losers = ended.filter(({ stderr }) => stderr.includes('another training writes into it'));
      expect([losers.length, losers[0]?.code, first]).toEqual([1, 1, losers[0]]);
      expect(losers[0]!.stderr).toContain(output);
      return ended;
    },
  ],
];

test(`killed, stopped, starved of room and started twice, at random (seed ${SEED})`, async () => {
  const expected = await straight();
  const random = new Random(SEED);
  for (let round = 0; round < 2; round++) {
    const output = temporary.at(`run-${round}`);
    plant(`run-${round}`);
    const past: Ended[] = [];
    // All accidents, in another order each time.
    const order = [...ACCIDENTS].map((accident) => ({ accident, key: random.next() }));
    for (const { accident } of order.sort((a, b) => a.key - b.key)) {
      const [name, happen] = accident;
      try {
        past.push(...(await happen(output, random)));
        await expectKept(output, ...past);
        expectStrangers(output);
      } catch (error) {
        throw new Error(`round ${round}, ${name}: ${(error as Error).message}`, { cause: error });
      }
    }
    // The run is unfinished, so every accident disturbed a running run.
    expect(await newest(output)).toBeLessThan(STEPS);
    const { code, stderr } = await start({}, output).ended;
    expect([code, stderr]).toEqual([0, expect.not.stringContaining('no checkpoint')]);
    expect(outcome(output)).toBe(expected);
    expectStrangers(output);
  }
});

test('a disk without room for checkpoints and lines of the log', async () => {
  if (process.getuid?.() !== 0) throw new Error('this test mounts a small disk: run it as root');
  const expected = await straight();
  const random = new Random(SEED);
  for (let round = 0; round < 2; round++) {
    using disk = new SmallDisk(temporary.at(`disk-${round}`), 4e6);
    const output = join(disk.path, 'run');
    // Fill the disk repeatedly, because a failed save frees its space again.
    let filling: NodeJS.Timeout | undefined;
    const fill = (): void => void (filling = setInterval(() => disk.fill(), 20));
    const ended = await disturbed(output, random, {}, fill);
    clearInterval(filling);
    expect([ended.code, ended.stderr]).toEqual([1, expect.stringMatching(/tries again after step \d+, or/)]);
    expect(ended.stderr).toMatch(/foretoken-log.jsonl: no space left on device; the run goes on/);
    await expectAdvice(output, ended, [1]);
    await expectKept(output, ended);
    // A new run cannot begin either.
    const refused = await start({}, output).ended;
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('no space left on device')]);
    disk.free();
    expect((await start({}, output).ended).code).toBe(0);
    expect(outcome(output)).toBe(expected);
  }
});

test('a device without enough memory', async () => {
  const data = await tinyCorpus(temporary.path);
  const output = temporary.at('run');
  const trained = async (into: string, memoryLimit?: number): Promise<number> => {
    using device = openDevice('cpu', { threads: 1, memoryLimit });
    const resume = (await newest(into)) > 0 ? into : undefined;
    using trainer = await Trainer.create({
      ...{ device, tokenizer, data, steps: 40, batchSize: 2, sequenceLength: 16, heldOut: 0.3 },
      ...{ output: into, resume, model: tinyModel('sequential', 3), evalEvery: 5 },
    });
    await trainer.run();
    return device.memory().peak;
  };
  const peak = await trained(temporary.at('straight'));
  let advice = 0;
  const random = new Random(SEED);
  for (let i = 0; i < 30; i++) {
    const limit = Math.floor(peak * (0.4 + 0.6 * random.next()));
    const error = await trained(output, limit).then(
      () => undefined,
      (reason: unknown) => reason as Error,
    );
    if (error === undefined) continue;
    expect(error).toMatchObject({ code: 'OUT_OF_MEMORY' });
    const step = await newest(output);
    if (/^step \d+: /.test(error.message)) {
      advice += 1;
      expect(error.message).toContain(
        step === 0 ? 'nothing was saved' : `checkpoint-${step} is kept: resume`,
      );
    }
    await expectKept(output);
  }
  expect(advice).toBeGreaterThan(0);
  await trained(output);
  for (const name of ['model.safetensors', 'optimizer.safetensors']) {
    const [a, b] = ['straight', 'run'].map((run) =>
      readFileSync(temporary.at(`${run}/checkpoint-40/${name}`)),
    );
    expect(b!.equals(a!)).toBe(true);
  }
  await data.close();
});
