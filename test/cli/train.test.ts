// Training runs that are resumed, stopped, or lose their terminal.
import { existsSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { StatusLine } from '../../lib/cli/status-line';
import { runCli, startCli, type Ended } from '../support/cli';
import { TemporaryDirectory } from '../support/temporary';

const temporary = new TemporaryDirectory();

/** Arguments of a run whose steps take milliseconds. */
function tiny(...more: string[]): string[] {
  temporary.write('text/one.txt', 'All work and no play makes Jack a dull boy. '.repeat(60));
  const flags = '--hidden-size 16 --layers 2 --attention-heads 2 --heads 2 --sequence-length 32 --threads 1';
  const run = ['-o', temporary.at('text/run'), '--batch-size', '2'];
  const heldOut = more.includes('--held-out') ? [] : ['--held-out', '0.1'];
  return ['train', temporary.at('text'), ...flags.split(' '), ...run, ...heldOut, ...more];
}

/** Resumes the run, without the flags of its beginning. */
const again = (...more: string[]): Promise<Ended> =>
  runCli(
    'train',
    temporary.at('text'),
    '-o',
    temporary.at('text/run'),
    '--resume',
    '--threads',
    '1',
    ...more,
  );

const checkpoint = (step: number): string => temporary.at(`text/run/checkpoint-${step}`);

it('a resumed run needs no flags, never trains on its own output, and says when nothing is left to do', async () => {
  expect((await runCli(...tiny('--steps', '2', '--resume'))).stderr).toContain('the run begins');
  const done = await again();
  expect([done.code, done.stdout]).toEqual([
    0,
    `nothing left to do: the run has done its 2 steps: ${checkpoint(2)}\n`,
  ]);
  temporary.write('text/run/corpus/old.txt', 'Not part of the corpus.');
  const longer = await again('--steps', '4');
  expect([longer.code, longer.stderr]).toEqual([0, expect.stringContaining('from step 2 on')]);
  expect(longer.stdout).toContain(`trained 4 steps: ${checkpoint(4)}`);
  expect((await again('--steps', '1')).stdout).toContain('has done its 4 steps; --steps is 1');
});

it('a run resumed with other flags names exactly the flags that differ', async () => {
  await runCli(...tiny('--steps', '2'));
  const { code, stderr } = await again('--steps', '4', '--batch-size', '3', '--hidden-size', '32');
  expect([code, stderr]).toEqual([
    1,
    `foretoken: cannot resume from ${checkpoint(2)}: --hidden-size was 16 and is 32; --batch-size was 2 and is 3\n`,
  ]);
  expect((await again('--steps', '4', '--learning-rate', '1e-4')).code).toBe(0);
});

it('flags of the text are no options of the run: they are given again, as the text is', async () => {
  const argv = tiny('--steps', '1', '--split-special-tokens');
  temporary.write('text/one.txt', 'To end a text, write <|endoftext|>. '.repeat(60));
  expect((await runCli(...argv)).code).toBe(0);
  const { code, stderr } = await again('--steps', '2');
  expect([code, stderr]).toEqual([1, expect.stringContaining('give the same text, tokenizer,')]);
  expect((await again('--steps', '2', '--split-special-tokens')).code).toBe(0);
});

it.each([
  [['--resume', 'RUN'], '--resume takes no path'],
  [['RUN/notes.txt'], 'give a directory without it'],
])('%j is refused', async (more, part) => {
  await runCli(...tiny('--steps', '1'));
  const { code, stderr } = await runCli(
    ...tiny(),
    ...more.map((word) => word.replace('RUN', temporary.at('text/run'))),
  );
  expect([code, stderr]).toEqual([2, expect.stringContaining(part)]);
});

it.each([
  [
    '--hidden-size 100 --attention-heads 3',
    '--hidden-size (100) divided by --attention-heads (3) must be an integer',
  ],
  [
    '--hidden-size 100 --attention-heads 4',
    '--hidden-size (100) divided by --attention-heads (4) must be even',
  ],
  ['--attention-heads 3', '--hidden-size (256) divided by --attention-heads (3) must be an integer'],
  ['--attention-heads 8 --kv-heads 3', '--attention-heads (8) must be a multiple of --kv-heads (3)'],
])('sizes that do not fit together are named by their flags: %s', async (sizes, message) => {
  const text = temporary.write('text/one.txt', 'All work and no play.');
  const { code, stderr } = await runCli('train', text, '-o', temporary.at('run'), ...sizes.split(' '));
  expect([code, stderr]).toEqual([1, expect.stringContaining(`foretoken: ${message}`)]);
});

it('the path of a run means its newest checkpoint, for models and tokenizers; long work shows progress', async () => {
  await runCli(...tiny('--steps', '2', '--save-every', '1'));
  const run = temporary.at('text/run');
  const status = jest.spyOn(StatusLine.prototype, 'update');
  const argv = [
    'train',
    temporary.at('text/one.txt'),
    '--sequence-length',
    '32',
    '--steps',
    '1',
    '--threads',
    '1',
  ];
  const model = await runCli(...argv, '-o', temporary.at('model'), '--model', run);
  expect([model.code, model.stdout]).toEqual([0, expect.stringContaining('trained 1 steps')]);
  expect(status).toHaveBeenCalledWith(`loading ${run}: 100 %`);

  const sizes = ['--hidden-size', '16', '--attention-heads', '2'];
  const tokenizer = await runCli(...argv, ...sizes, '-o', temporary.at('tokenizer'), '--tokenizer', run);
  expect([tokenizer.code, tokenizer.stdout]).toEqual([0, expect.stringContaining('trained 1 steps')]);
  const none = await runCli(...argv, '-o', temporary.at('none'), '--tokenizer', temporary.path);
  expect([none.code, none.stderr]).toEqual([1, expect.stringContaining('neither a tokenizer.json nor')]);

  const evaluation = ['eval', run, temporary.at('text/one.txt'), '--threads', '1'];
  expect((await runCli(...evaluation)).code).toBe(0);
  expect(status).toHaveBeenLastCalledWith(expect.stringMatching(/^evaluating: (\d+) of \1 rows$/));
  status.mockRestore();
  const refused = await runCli(...evaluation, '--rows', '-1');
  expect([refused.code, refused.stderr]).toEqual([
    1,
    'foretoken: --rows must be an integer of at least 0, but is -1\n',
  ]);
});

it('checks options before it tokenizes text', async () => {
  const { code } = await runCli(...tiny('--warmup-steps', '9', '--steps', '3'));
  expect([code, existsSync(temporary.at('text/run/corpus'))]).toEqual([1, false]);
});

/** Waits until a run has logged `count` steps. */
async function steps(count: number): Promise<void> {
  const log = temporary.at('text/run/foretoken-log.jsonl');
  while (!existsSync(log) || readFileSync(log, 'utf8').split('\n').length <= count) await sleep(5);
}

it('closing the terminal ends a run in order', async () => {
  const { child, ended } = startCli(...tiny('--steps', '100000'));
  await steps(3);
  child.stdout!.destroy();
  child.stderr!.destroy();
  child.kill('SIGHUP');
  expect((await ended).code).toBe(129);
  expect(readdirSync(temporary.at('text/run')).filter((name) => name.startsWith('checkpoint-'))).toHaveLength(
    1,
  );
});

it('a run goes on after the reader of its output is gone', async () => {
  const { child, ended } = startCli(...tiny('--steps', '40', '--save-every', '5'));
  child.stdout!.destroy();
  child.stderr!.destroy();
  expect((await ended).code).toBe(0);
  expect(existsSync(checkpoint(40))).toBe(true);
});

it('a second Ctrl-C during the last evaluation ends the process at once, and says what is kept', async () => {
  const exit = jest.spyOn(process, 'exit').mockImplementation((() => undefined) as never);
  const now = jest.spyOn(performance, 'now');
  const timer = setInterval(() => {
    const { calls } = (process.stderr.write as unknown as jest.Mock).mock ?? { calls: [] };
    if (!calls.some(([text]) => String(text).startsWith('saved'))) return;
    clearInterval(timer);
    now.mockReturnValue(1000);
    process.emit('SIGINT', 'SIGINT');
    now.mockReturnValue(3000);
    process.emit('SIGINT', 'SIGINT');
    now.mockRestore();
  }, 1);
  try {
    const { code, stdout, stderr } = await runCli(...tiny('--steps', '2', '--held-out', '0.5'));
    expect(exit.mock.calls).toEqual([[130]]);
    expect(stderr).toContain(`stopped at once: ${checkpoint(2)} is kept; go on with --resume`);
    expect([code, stdout]).toEqual([130, expect.stringContaining('the evaluation was stopped')]);
    expect((await again()).stdout).toContain('nothing left to do');
  } finally {
    clearInterval(timer);
    exit.mockRestore();
  }
});

it('a refused run removes the directories made for it', async () => {
  for (const where of ['out', 'more/out']) {
    const { code, stderr } = await runCli('train', temporary.at('nothing.txt'), '-o', temporary.at(where));
    expect([code, stderr]).toEqual([1, expect.stringContaining('nothing.txt')]);
    expect(readdirSync(temporary.path)).toEqual([]);
  }
});

it('--model takes the newest checkpoint of a run, and is ignored by a resumed run', async () => {
  await runCli(...tiny('--steps', '4', '--save-every', '2', '--learning-rate', '0.01'));
  const common = `--sequence-length 32 --batch-size 2 --held-out 0 --steps 2 --threads 1`.split(' ');
  const from = (model: string, output: string, ...more: string[]): Promise<Ended> =>
    runCli(
      'train',
      temporary.at('text/one.txt'),
      '-o',
      temporary.at(output),
      '--model',
      model,
      ...common,
      ...more,
    );
  const losses = (output: string): unknown[] =>
    readFileSync(temporary.at(`${output}/foretoken-log.jsonl`), 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => (JSON.parse(line) as { loss: number }).loss);
  for (const [model, output] of [
    ['text/run', 'a'],
    ['text/run/checkpoint-4', 'b'],
    ['text/run/checkpoint-2', 'c'],
  ] as const) {
    expect((await from(temporary.at(model), output)).code).toBe(0);
  }
  expect(losses('a')).toEqual(losses('b'));
  expect(losses('a')).not.toEqual(losses('c'));
  const resumed = await from(temporary.at('text/run'), 'a', '--resume');
  expect(resumed.stderr).toContain(`is ignored: the run goes on from ${temporary.at('a/checkpoint-2')}`);
});

it('a run deletes token files of other text from its own cache, not from a given one', async () => {
  const cache = temporary.at('cache');
  for (const [where, more] of [
    [temporary.at('text/run/corpus'), []],
    [cache, ['--cache', cache]],
  ] as const) {
    rmSync(temporary.at('text/run'), { recursive: true, force: true });
    // The run is refused after its text has been tokenized.
    expect((await runCli(...tiny('--steps', '1', '--held-out', '0.001', ...more))).code).toBe(1);
    const before = readdirSync(where);
    const argv = tiny('--steps', '1', ...more);
    temporary.write('text/one.txt', 'Another text. '.repeat(90));
    expect((await runCli(...argv)).code).toBe(0);
    expect([before.length, readdirSync(where).filter((name) => before.includes(name)).length]).toEqual([
      1,
      where === cache ? 1 : 0,
    ]);
  }
});

it('evaluates as many rows as --eval-rows says', async () => {
  const count = async (rows: string): Promise<number> => {
    rmSync(temporary.at('text/run'), { recursive: true, force: true });
    const { stdout } = await runCli(...tiny('--steps', '1', '--eval-rows', rows, '--json'));
    return (JSON.parse(stdout) as { evaluation: { heads: { count: number }[] } }).evaluation.heads[0]!.count;
  };
  const [one, two, all] = [await count('1'), await count('2'), await count('0')];
  expect([one > 0, two / one, all > two]).toEqual([true, 2, true]);
});

it('of two runs started at the same time, one trains and the other is refused', async () => {
  const runs = [startCli(...tiny('--steps', '100000')), startCli(...tiny('--steps', '100000'))];
  const { code, stderr } = await Promise.race(runs.map(({ ended }) => ended));
  expect([code, stderr]).toEqual([1, expect.stringContaining('another training writes into it')]);
  await steps(3);
  for (const { child } of runs) child.kill('SIGTERM');
  expect((await Promise.all(runs.map(({ ended }) => ended))).map((ended) => ended.code).sort()).toEqual([
    1, 143,
  ]);
});
