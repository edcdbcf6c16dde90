import { parseCommand, UsageError } from '../../lib/cli/arguments';
import { GENERATE } from '../../lib/cli/generate-flags';
import { generateOptions, parseLogitBias, parseSpeculation, parseStop } from '../../lib/cli/generate-options';

it.each([
  ['none', 'none'],
  ['chain', { tree: 'chain', depth: undefined }],
  ['chain:2', { tree: 'chain', depth: 2 }],
  ['full:4', { tree: 'full', widths: [4] }],
  ['full:4,2,1', { tree: 'full', widths: [4, 2, 1] }],
  ['best:0', { tree: 'best', nodes: 0 }],
  ['adaptive', { tree: 'adaptive', maxNodes: undefined }],
  ['adaptive:16', { tree: 'adaptive', maxNodes: 16 }],
])('--speculation %s', (given, expected) => {
  expect(parseSpeculation(given)).toStrictEqual(expected);
});

it.each(
  [
    '',
    'chain:1:5',
    'chain:1,2',
    'chain:',
    'chain:x',
    'none:1',
    'none:',
    'full',
    'full:',
    'full:4,',
    'best:1,2',
  ].concat(['adaptive:16:', 'Chain', 'tree', 'chain 2']),
)('refuses --speculation %j', (given) => {
  expect(() => parseSpeculation(given)).toThrow(UsageError);
  expect(() => parseSpeculation(given)).toThrow(`adaptive:NODES, but is '${given}'`);
});

it('parses --logit-bias', () => {
  const given = ['65=-2.5', '0=1e2', '32=-Infinity'];
  expect([...parseLogitBias(given)]).toEqual([
    [65, -2.5],
    [0, 100],
    [32, -Infinity],
  ]);
  expect(() => parseLogitBias(['32=1', '32=2'])).toThrow('more than once for token 32');
});

it.each(['32=1=2', '32', '32=', '=1', '', 'a=1', '32=Infinity', '32=NaN', '32=--1', '32=-infinity '])(
  'refuses --logit-bias %j',
  (given) => {
    expect(() => parseLogitBias([given])).toThrow(
      new UsageError(`--logit-bias must be like 65=-2.5 or 65=-Infinity, but is '${given}'`),
    );
  },
);

it.each([
  ['END', 'END'],
  ['\\n', '\n'],
  ['\\n\\n', '\n\n'],
  ['a\\tb\\r', 'a\tb\r'],
  ['\\\\n', '\\n'],
  ['\n', '\n'],
  ['', ''],
])('--stop %j is %j', (given, expected) => {
  expect(parseStop(given)).toBe(expected);
});

it.each(['\\begin', 'a\\', '\\0', '\\\n'])('refuses --stop %j', (given) => {
  expect(() => parseStop(given)).toThrow(UsageError);
  expect(() => parseStop(given)).toThrow('\\\\ for a backslash');
});

it('passes 64-bit seeds and negative numbers on unchanged', () => {
  const argv = ['model', '-p', '- item', '--seed', '18446744073709551615', '--frequency-penalty', '-0.5'];
  const { values } = parseCommand(GENERATE, argv)!;
  expect(values.prompt).toBe('- item');
  expect(generateOptions(values)).toMatchObject({ seed: 2n ** 64n - 1n, frequencyPenalty: -0.5 });
});
