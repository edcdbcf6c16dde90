import { parseCommand, parseNumber, required, UsageError } from '../../lib/cli/arguments';
import { parseCurriculum, parseHeadWeights } from '../../lib/cli/train-flags';

const COMMAND = {
  name: 'bake',
  positionals: 'DOUGH…',
  summary: 'Bakes.',
  example: 'foretoken bake rye --minutes 50',
  flags: {
    minutes: { type: 'integer', short: 'm', value: 'N', help: 'how long' },
    heat: { type: 'number', value: 'X', help: 'how hot' },
    seed: { type: 'strings', help: 'on top' },
    oven: { type: 'string', help: 'where' },
    batch: { type: 'bigint', help: 'which' },
    steam: { type: 'boolean', help: 'moist' },
  },
} as const;

it('reads every type of flag, in any order', () => {
  const argv = 'rye -m 50 --heat 2.3e2 --seed poppy wheat --seed=sesame --oven old --steam'.split(' ');
  expect(parseCommand(COMMAND, argv)).toEqual({
    values: { minutes: 50, heat: 230, seed: ['poppy', 'sesame'], oven: 'old', steam: true },
    positionals: ['rye', 'wheat'],
  });
  expect(parseCommand(COMMAND, [])).toEqual({ values: {}, positionals: [] });
});

it.each([
  ['--minutes 1.5', "--minutes must be an integer, but is '1.5'"],
  ['--minutes 9007199254740993', '--minutes must be an integer within ±9007199254740991 (2^53 - 1), but is'],
  ['--heat hot', "--heat must be a number, but is 'hot'"],
  ['--heat=', '--heat must be a number'],
  ['--heat 0x10', '--heat must be a number'],
  ['--batch 1.5', "--batch must be an integer, but is '1.5'"],
  ['--minuts 3', "there is no option '--minuts'; did you mean --minutes?"],
  ['--colour red', "there is no option '--colour'"],
  ['-x', "there is no option '-x'"],
  ['--constructor', "there is no option '--constructor'"],
  ['--__proto__=1', "there is no option '--__proto__'"],
  ['--oven', '--oven needs a value'],
  ['-m', '-m needs a value'],
  ['--steam=yes', "--steam takes no value, but has 'yes'"],
  ['--heat 1 --heat 1', '--heat is given more than once; it takes one value'],
  ['-m 1 --minutes=2', '--minutes is given more than once; it takes one value'],
  [
    '--oven --steam',
    "--oven needs a value, but is followed by the option --steam; if '--steam' is the value, write --oven=--steam",
  ],
  ['--oven -m 3', 'write --oven=-m'],
  ['--oven --heat=3', 'write --oven=--heat=3'],
])('refuses %s', (argv, message) => {
  const parse = (): unknown => parseCommand(COMMAND, argv.split(' '));
  expect(parse).toThrow(UsageError);
  expect(parse).toThrow(message);
});

it.each<[string[], object]>([
  [['--oven', '- item'], { oven: '- item' }],
  [['--oven', '-'], { oven: '-' }],
  [['--oven', '--unheard-of'], { oven: '--unheard-of' }],
  [['--oven', ''], { oven: '' }],
  [['--heat', '-0.5'], { heat: -0.5 }],
  [['--heat=-0.5'], { heat: -0.5 }],
  [['-m', '-1'], { minutes: -1 }],
  [['-m-1'], { minutes: -1 }],
  [['--batch', '-1'], { batch: -1n }],
  [['--batch', '18446744073709551615'], { batch: 2n ** 64n - 1n }],
  [['--seed', '-x', '--seed', '--steam-rolled'], { seed: ['-x', '--steam-rolled'] }],
  [['--steam', '--steam'], { steam: true }],
])('takes values that begin with a dash: %j', (argv, values) => {
  expect(parseCommand(COMMAND, argv)).toEqual({ values, positionals: [] });
});

it('takes everything after -- unchanged', () => {
  expect(parseCommand(COMMAND, ['--', '--steam', '-m'])).toEqual({
    values: {},
    positionals: ['--steam', '-m'],
  });
});

it('shows help with an example', () => {
  const write = jest.spyOn(process.stdout, 'write').mockReturnValue(true);
  expect(parseCommand(COMMAND, ['--help', '--minutes', 'three', '--unknown'])).toBeNull();
  const text = String(write.mock.calls[0]![0]);
  write.mockRestore();
  expect(text).toContain('Usage: foretoken bake DOUGH… [options]');
  expect(text).toContain('Example: foretoken bake rye --minutes 50');
  expect(text).toMatch(/-m, --minutes N +how long/);
  expect(text).toMatch(/--steam +moist/);
});

it('requires the value of a required flag', () => {
  expect(required('x', 0)).toBe(0);
  expect(() => required('x', undefined)).toThrow('--x is missing');
});

it.each([
  ['1', 1],
  ['-2.5', -2.5],
  ['.5', 0.5],
  ['1e-3', 0.001],
  ['3.', 3],
  ['', undefined],
  ['1,5', undefined],
  ['Infinity', undefined],
  [' 1', undefined],
])('parseNumber %j', (text, number) => {
  expect(parseNumber(text)).toBe(number);
});

it.each([
  ['1,0.5,0', { kind: 'constant', weights: [1, 0.5, 0] }],
  ['1', { kind: 'constant', weights: [1] }],
  ['beta:0.8', { kind: 'beta', beta: 0.8 }],
  ['step:10:0:1', { kind: 'step', at: 10, before: 0, after: 1 }],
  ['ramp:10:0:0.5', { kind: 'ramp', steps: 10, from: 0, to: 0.5 }],
])('parses head weights %s', (text, options) => {
  expect(parseHeadWeights(text)).toEqual(options);
});

it.each(['', 'beta', 'beta:1:2', 'gamma:1', 'step:10:0', '1,,2', 'one,two'])(
  'refuses head weights %j',
  (text) => {
    expect(() => parseHeadWeights(text)).toThrow(UsageError);
  },
);

it('parses curricula', () => {
  expect(parseCurriculum('forward:100')).toEqual({ kind: 'forward', steps: 100 });
  expect(parseCurriculum('reverse:5')).toEqual({ kind: 'reverse', steps: 5 });
  for (const text of ['forward', 'sideways:5', 'forward:x', 'forward:1:2']) {
    expect(() => parseCurriculum(text)).toThrow(UsageError);
  }
});
