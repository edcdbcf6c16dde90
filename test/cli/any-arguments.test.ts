// Whatever the arguments, a command ends with 0, 1 or 2 and reports an error on one line.
import { cpSync, rmSync } from 'node:fs';
import fc from 'fast-check';
import { saveModel } from '../../lib/model/checkpoint';
import { MtpModel } from '../../lib/model/model';
import { openDevice } from '../../lib/tensor/device';
import type { Flag, Flags } from '../../lib/cli/flags';
import { DEVICES } from '../../lib/cli/devices-flags';
import { DOWNLOAD } from '../../lib/cli/download-flags';
import { DRAFT_VOCABULARY } from '../../lib/cli/draft-vocabulary-flags';
import { EVAL } from '../../lib/cli/eval-flags';
import { GENERATE } from '../../lib/cli/generate-flags';
import { TRAIN } from '../../lib/cli/train-flags';
import { runCli } from '../support/cli';
import { TemporaryDirectory } from '../support/temporary';
import { tinyModel, tokenizer } from '../support/training';

jest.setTimeout(120_000);
const temporary = new TemporaryDirectory();
const home = process.cwd();

/** A message that begins with a function or option of the library instead of a flag. */
const INTERNAL_NAME = /^(step \d+: |[a-zA-Z]+: )?[a-z]+([A-Z]\w*|\.[a-z]+[A-Z]?\w*)(\[\d+\])?(:| must) /;

/** Relative paths within the temporary directory. */
const PATHS = [
  'model',
  'text.txt',
  'lines.jsonl',
  'empty',
  'damaged',
  'none/deeper',
  'text.txt/x',
  '*.txt',
  '[',
  '',
];
const WORDS = [
  'cpu',
  'cuda:99',
  'int8',
  'bfloat16',
  'chain',
  'chain:9',
  'full:2,2',
  'best',
  'beta:0.5',
  'ramp:1:0:1',
];
const MORE_WORDS = [
  'forward:1',
  'wsd',
  'medusa',
  'rooted',
  '65=-Infinity',
  '5=1',
  '\\n',
  '- item',
  '\u00e9\ud83d\ude00',
];
const INTEGERS = ['0', '1', '2', '3', '32', '-1', '1e9', '2147483648', '9007199254740991'];
const NUMBERS = ['0', '0.01', '0.5', '1', '3', '-0.5', '1e9', '1e-30', '1e308', '1e400'];
const MISTAKES = ['', 'NaN', '0x10', '0.5', '1,2', '9007199254740993', '-', '--'];

beforeEach(async () => {
  using device = openDevice('cpu', { threads: 1 });
  const config = { ...tinyModel('parallel', 2), vocabSize: tokenizer.vocabSize, maxPositionEmbeddings: 64 };
  using made = new MtpModel(device, config, { seed: 1 });
  process.chdir(temporary.path);
  await saveModel(temporary.at('model'), made, tokenizer);
  temporary.write('text.txt', 'All work and no play. '.repeat(400));
  temporary.write('lines.jsonl', '{"text": "All work"}\n{"text": 5}\n');
  temporary.write('empty/.keep', '');
  temporary.write('damaged/config.json', '{"model_type": "llama", "hidden_size": -1}');
  const commit = 'c'.repeat(40);
  temporary.write('hub/models--owner--tiny/refs/main', commit);
  cpSync('model', `hub/models--owner--tiny/snapshots/${commit}`, { recursive: true });
  // No test may ask the real Hub.
  const offline = { HF_HUB_OFFLINE: '1', HF_HUB_CACHE: temporary.at('hub') };
  jest.replaceProperty(process, 'env', { ...process.env, ...offline });
});
afterEach(() => {
  process.chdir(home);
  jest.restoreAllMocks();
});

/** A value for a flag, valid or not. */
function valueFor({ type }: Flag): fc.Arbitrary<string> {
  const likely = {
    integer: INTEGERS,
    bigint: INTEGERS,
    number: NUMBERS,
    string: [...PATHS, ...WORDS, ...MORE_WORDS],
    strings: [...PATHS, ...WORDS, ...MORE_WORDS],
    boolean: MISTAKES,
  }[type];
  const strange = fc.stringMatching(/^[!-.0-~]{0,6}$/).filter((text) => !text.includes('..'));
  return fc.oneof(
    { weight: 12, arbitrary: fc.constantFrom(...likely) },
    { weight: 1, arbitrary: fc.constantFrom(...MISTAKES) },
    { weight: 1, arbitrary: strange },
  );
}

/** A flag of a command, with or without a value. */
function flagWithValue([name, flag]: [string, Flag]): fc.Arbitrary<string[]> {
  return fc.tuple(valueFor(flag), fc.nat(30)).map(([value, form]) => {
    // Standard input belongs to jest.
    if (name === 'prompt-file' && value === '-') return [];
    if (form === 0) return [`--${name}`];
    if (form === 1) return [`--${name}=${value}`];
    if (form === 2 && flag.short) return [`-${flag.short}${value}`];
    return flag.type === 'boolean' ? [`--${name}`] : [`--${name}`, value];
  });
}

/** Some of a command's flags, a few of them twice, and sometimes a word that is no flag of the command. */
function argumentsOf(flags: Flags, leftOut: readonly string[]): fc.Arbitrary<string[]> {
  const entries = Object.entries(flags).filter(([name]) => !leftOut.includes(name));
  const strangers = fc.constantFrom(
    '--no-such',
    '-x',
    '--',
    '--help',
    '--constructor',
    'model',
    'text.txt',
    '',
  );
  const seldom = (arbitrary: fc.Arbitrary<string[]>): fc.Arbitrary<string[]> =>
    fc.oneof({ weight: 6, arbitrary: fc.constant<string[]>([]) }, { weight: 1, arbitrary });
  const chosen = fc.subarray(entries, { maxLength: Math.min(4, entries.length) });
  return fc
    .tuple(
      chosen.chain((some) => fc.tuple(...some.map(flagWithValue))).map((words) => words.flat()),
      seldom(fc.constantFrom(...entries).chain(flagWithValue)),
      seldom(fc.tuple(strangers)),
    )
    .map((words) => words.flat());
}

// Flags that keep a command short are always given; required arguments mostly are.
it.each([
  { command: GENERATE, numRuns: 100, always: ['--threads', '1'], usual: ['model', '--prompt=All'] },
  { command: EVAL, numRuns: 100, always: ['--threads', '1'], usual: ['model', 'text.txt'] },
  {
    command: TRAIN,
    numRuns: 100,
    always: ['--steps', '1', '--hidden-size', '16', '--threads', '1'],
    usual: ['text.txt', '--output=run'],
  },
  { command: DRAFT_VOCABULARY, numRuns: 50, always: [], usual: ['model', 'text.txt'] },
  { command: DOWNLOAD, numRuns: 50, always: [], usual: ['owner/tiny'] },
  { command: DEVICES, numRuns: 20, always: [], usual: [] },
])('$command.name', async ({ command: { name, flags }, numRuns, always, usual }) => {
  const codes = new Set<number | null>();
  const leftOut = ['measure', ...always.map((word) => word.replace(/^--/, ''))];
  const vector = fc
    .tuple(fc.nat(5), argumentsOf(flags, leftOut), fc.boolean())
    .map(([some, given, json]) => [
      ...always,
      ...(some === 0 ? [] : usual),
      ...(json ? ['--json'] : []),
      ...given,
    ]);
  await fc.assert(
    fc.asyncProperty(vector, async (argv) => {
      rmSync('run', { recursive: true, force: true });
      const { code, stderr } = await runCli(name, ...argv);
      codes.add(code);
      expect([0, 1, 2]).toContain(code);
      if (code === 0) return;
      const said = stderr.trimEnd().split('\n').at(-1)!;
      expect(stderr).not.toMatch(/\n +at /);
      if (argv.includes('--json')) {
        const { error } = JSON.parse(said) as { error: { code: string; message: string } };
        expect(error.code).not.toBe('INTERNAL');
        expect(error.message).toMatch(/^\S.*\S$/);
        expect(error.message).not.toMatch(INTERNAL_NAME);
        return;
      }
      expect(said).toMatch(/^foretoken: \S.*\S$/);
      expect(said.replace('foretoken: ', '')).not.toMatch(INTERNAL_NAME);
      if (code === 2) expect(said).toContain(`; see foretoken ${name} --help`);
    }),
    {
      seed: 20_261_130,
      numRuns,
      timeout: 20_000,
      interruptAfterTimeLimit: 90_000,
      markInterruptAsFailure: true,
    },
  );
  // Only refusals would prove little.
  expect([...codes].sort()).toEqual(name === 'devices' ? [0, 2] : [0, 1, 2]);
});
