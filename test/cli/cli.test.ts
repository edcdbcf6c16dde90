// The command line from outside: exit codes, signals, standard output and standard error.
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Evaluation } from '../../lib/train/evaluate';
import { runCli, startCli, type Ended } from '../support/cli';
import { startScript } from '../support/process';
import { TemporaryDirectory } from '../support/temporary';

const root = join(__dirname, '../..');

jest.setTimeout(120_000);
const temporary = new TemporaryDirectory();

/** A text, and flags for training steps of milliseconds. */
function tiny(heldOut = 0.1): string[] {
  const text = temporary.write('text/one.txt', 'All work and no play makes Jack a dull boy. '.repeat(60));
  temporary.write('text/two.jsonl', `{"text":"${'Größe zählt nicht. '.repeat(40)}"}\n`);
  const flags =
    '--hidden-size 16 --layers 2 --attention-heads 2 --heads 3 --batch-size 2 --sequence-length 32';
  return [
    text.replace('/one.txt', ''),
    ...flags.split(' '),
    ...`--held-out ${heldOut} --threads 2`.split(' '),
  ];
}

interface Line {
  step: number;
  loss?: number;
}

function logOf(output: string): Line[] {
  const lines = readFileSync(`${output}/foretoken-log.jsonl`, 'utf8').trim().split('\n');
  return lines.map((line) => {
    const { seconds: _, ...rest } = JSON.parse(line) as Line & { seconds?: number };
    return rest;
  });
}

const { version } = JSON.parse(readFileSync(join(__dirname, '../../package.json'), 'utf8')) as Record<
  'version',
  string
>;

describe('help and usage errors', () => {
  it('need no addon', async () => {
    const hidden = temporary.write(
      'hidden.js',
      `
      const Module = require('node:module');
      const load = Module._load;
      Module._load = (name, ...rest) => {
        if (name === 'node-gyp-build') throw new Error('the addon is loaded');
        return load(name, ...rest);
      };
      const { main } = require(${JSON.stringify(join(root, 'lib/cli/main.ts'))});
      void main(process.argv.slice(2)).then((code) => (process.exitCode = code));
    `,
    );
    const run = (...argv: string[]): Promise<Ended> => startScript(hidden, argv).ended;
    for (const name of ['train', 'generate', 'chat', 'eval', 'download', 'draft-vocabulary', 'devices']) {
      expect(await run(name, '--help')).toMatchObject({ code: 0, stderr: '' });
      expect(await run(name, '--hlep')).toMatchObject({ code: 2, stdout: '' });
    }
    expect(await run('devices')).toMatchObject({ code: 1 });
  });

  it.each([
    [['--help'], 'foretoken COMMAND'],
    [['--version'], version],
    [['train', '--help'], 'Example: foretoken train'],
    [['eval', '-h'], 'Example: foretoken eval'],
    [['generate', '--help'], 'Example: foretoken generate'],
    [['chat', '--help'], 'Example: foretoken chat'],
    [['download', '--help'], 'Example: foretoken download'],
    [['draft-vocabulary', '--help'], 'Example: foretoken draft-vocabulary'],
    [['devices', '--help'], 'Example: foretoken devices'],
  ])('%j prints help', async (argv, part) => {
    const { code, stdout, stderr } = await runCli(...argv);
    expect(stdout).toContain(part);
    expect([code, stderr]).toEqual([0, '']);
  });

  it.each([
    [[], 2, 'give a command'],
    [['fly'], 2, "foretoken: there is no command 'fly'; the commands are train"],
    [['trian'], 2, "there is no command 'trian'; did you mean train?; see foretoken --help"],
    [
      ['eval', '--row', '3'],
      2,
      "there is no option '--row'; did you mean --rows?; see foretoken eval --help",
    ],
    [['train', 'x'], 2, '--output is missing'],
    [['train', '--output', 'o'], 2, 'give the text'],
    [['train', 'x', '-o', 'o', '--model', 'm', '--layers', '3'], 2, '--layers is for new models'],
    [['train', 'x', '-o', 'o', '--curriculum', 'up'], 2, '--curriculum must be like'],
    [['eval'], 2, 'give a model'],
    [['generate', 'a', 'b'], 2, 'give one model: a path, or owner/name of the Hub, not 2'],
    [['devices', 'x'], 2, "'x' is unexpected"],
    [['train', 'x', '-o', 'o', '--device', 'cpu', '--dtype', 'bfloat16'], 1, 'in float32 only'],
    [
      ['eval', 'm', 'x', '--dtype', 'fp8'],
      1,
      'foretoken: --dtype must be one of float32, bfloat16, int8, but is "fp8"',
    ],
    [['train', 'x', '-o', 'o', '--dtype', 'int8'], 1, 'int8, which cannot be trained'],
    [
      ['eval', 'm', 'x', '--device', 'tpu'],
      1,
      'foretoken: --device must be one of auto, cpu, cuda, cuda:N, cuda-emulated, but is "tpu"',
    ],
    [['eval', 'm', 'x', '--device', 'cuda', '--threads', '2'], 1, 'cuda has no option --threads'],
    [['train', '/no/such/text', '-o', '/no/such/output'], 1, 'no file matches /no/such/text'],
    [['eval', '/no/such/model', 'x'], 1, 'cannot read /no/such/model'],
  ])('%j ends with %d and one line on standard error', async (argv, expected, part) => {
    const { code, stdout, stderr } = await runCli(...argv);
    expect([code, stdout]).toEqual([expected, '']);
    expect(stderr).toContain(part);
    expect(stderr.trim().split('\n')).toHaveLength(1);
  });

  it('prints errors as JSON for programs', async () => {
    const { code, stderr } = await runCli('eval', '/no/such/model', 'x', '--json');
    expect(code).toBe(1);
    expect(JSON.parse(stderr)).toMatchObject({ error: { code: 'FILE_ACCESS' } });
  });
});

it('refuses a prompt that is not UTF-8 and names the byte', async () => {
  const bytes = Buffer.from('caf\xe9 au lait', 'latin1');
  const file = temporary.write('prompt.txt', bytes);
  const where = (name: string) => `${name}: not UTF-8: byte 0xe9 at offset 3`;
  const read = await runCli('generate', 'm', '--prompt-file', file);
  expect([read.code, read.stderr.includes(where(file))]).toEqual([1, true]);
  const stdin = jest.spyOn(process, 'stdin', 'get').mockReturnValue(Readable.from([bytes]) as never);
  try {
    const piped = await runCli('generate', 'm', '--prompt-file', '-');
    expect([piped.code, piped.stderr.includes(where('standard input'))]).toEqual([1, true]);
  } finally {
    stdin.mockRestore();
  }
});

it('refuses an empty pattern, such as an unset shell variable', async () => {
  const { code, stderr } = await runCli('train', '', '-o', temporary.at('run'));
  expect([code, stderr]).toEqual([2, expect.stringContaining("must not be ''; the current directory is .")]);
  expect(existsSync(temporary.at('run'))).toBe(false);
});

it('devices lists the CPU', async () => {
  expect((await runCli('devices')).stdout).toMatch(/^cpu +\S/);
  const { stdout } = await runCli('devices', '--json');
  const [cpu] = JSON.parse(stdout) as { name: string; available: boolean }[];
  expect(cpu).toMatchObject({ name: 'cpu', available: true });
});

it('trains, saves, evaluates, generates and trains on', async () => {
  const output = temporary.at('run');
  const text = tiny();
  const trained = await runCli(
    'train',
    ...text,
    '-o',
    output,
    ...'--steps 4 --save-every 2 --json'.split(' '),
  );
  expect(trained.code).toBe(0);
  const result = JSON.parse(trained.stdout) as { checkpoint: string; evaluation: Evaluation };
  expect(result).toMatchObject({
    step: 4,
    completed: true,
    checkpoint: `${output}/checkpoint-4`,
    tokens: 4 * 64,
  });
  expect(readdirSync(output).sort()).toEqual([
    'checkpoint-2',
    'checkpoint-4',
    'corpus',
    'foretoken-log.jsonl',
  ]);
  expect(trained.stderr).toContain('step 4/4');

  const flags = '--held-out 0.1 --sequence-length 32 --batch-size 2 --threads 1'.split(' ');
  const evaluated = await runCli('eval', output, text[0]!, ...flags, '--json');
  expect(JSON.parse(evaluated.stdout)).toEqual(result.evaluation);
  const table = (await runCli('eval', output, text[0]!, ...flags)).stdout;
  expect(
    table
      .split('\n')
      .slice(1, 4)
      .map((line) => line.trim().split(/ +/)[0]),
  ).toEqual(['1', '2', '3']);
  expect(table).toContain('bits per byte');

  const argv = ['generate', output, '--prompt', 'All work', '--max-tokens', '8', '--threads', '1'];
  const generated = await runCli(...argv);
  expect(generated.code).toBe(0);
  expect((await runCli(...argv, '--speculation', 'none')).stdout).toBe(generated.stdout);

  const again = await runCli('train', ...text, '-o', output, '--steps', '2');
  expect([again.code, again.stderr.includes('resume it')]).toEqual([1, true]);
  const model = ['--model', `${output}/checkpoint-4`, '-o', temporary.at('more'), '--steps', '1'];
  const more = await runCli('train', text[0]!, ...model, ...'--sequence-length 32 --held-out 0'.split(' '));
  expect(more.stdout).toContain('trained 1 steps');
  expect(logOf(temporary.at('more'))[0]!.loss).toBeLessThan(logOf(output)[0]!.loss!);
});

it('ends quietly with 141 after the reader of the output is gone', async () => {
  const output = temporary.at('run');
  const { code } = await runCli('train', ...tiny(0), '-o', output, '--steps', '1');
  expect(code).toBe(0);
  const { child, ended } = startCli('generate', output, '-p', 'All', '-n', '2000', '--ignore-eos');
  child.stdout!.once('data', () => child.stdout!.destroy());
  expect(await ended).toMatchObject({ code: 141, stderr: '' });
});

/** Starts a run and sends it a signal after its third step. */
async function interrupted(signal: NodeJS.Signals, output: string, argv: string[]): Promise<Ended> {
  const { child, ended } = startCli(...argv);
  const log = `${output}/foretoken-log.jsonl`;
  while (child.exitCode === null && (!existsSync(log) || readFileSync(log, 'utf8').split('\n').length < 4)) {
    await sleep(5);
  }
  child.kill(signal);
  return ended;
}

it('Ctrl-C finishes the step, saves and ends with 130; the resumed run equals an uninterrupted one', async () => {
  const output = temporary.at('run');
  const argv = ['train', ...tiny(), ...'--steps 120 --eval-every 40'.split(' '), '-o', output];
  const { code, stdout, stderr } = await interrupted('SIGINT', output, argv);
  expect(code).toBe(130);
  const { step } = logOf(output).at(-1)!;
  expect(step).toBeLessThan(120);
  expect(stdout).toBe(`stopped after step ${step}: ${output}/checkpoint-${step}; go on with --resume\n`);
  // Standard error is not a terminal: lines, without cursor control.
  expect(stderr).toContain('step 1/120');
  expect(stderr).not.toContain('\r');
  expect(stderr).not.toContain('\u001b');

  const resumed = await runCli(...argv, '--resume');
  expect([resumed.code, resumed.stderr.includes(`from step ${step} on`)]).toEqual([0, true]);
  const straight = temporary.at('straight');
  expect((await runCli(...argv.slice(0, -1), straight)).code).toBe(0);
  expect(logOf(output)).toEqual(logOf(straight));
});

it('SIGTERM finishes the step, saves and ends with 143', async () => {
  const output = temporary.at('run');
  const argv = ['train', ...tiny(), '--steps', '100000', '-o', output, '--json'];
  const { code, stdout } = await interrupted('SIGTERM', output, argv);
  expect(code).toBe(143);
  const { step } = logOf(output).at(-1)!;
  expect(JSON.parse(stdout)).toMatchObject({
    step,
    completed: false,
    checkpoint: `${output}/checkpoint-${step}`,
  });
});
