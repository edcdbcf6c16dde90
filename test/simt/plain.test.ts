// The plain build: sound cases give the right results under every schedule. Poison, delayed copies and different schedules
// reveal many faults even though accesses are not checked.
import { runCases, sound } from './cases';

const seeds = [1, 2, 3, 4, 5, 6];
const schedules = ['in-order', 'reverse', 'random', 'starve'];
const copies = ['early', 'late', 'random'];
const runs = [
  ...schedules.flatMap((schedule) =>
    copies.map((when) => `residentBlocks=2 schedule=${schedule} asyncCopies=${when}`),
  ),
  ...seeds.map((seed) => `residentBlocks=3 schedule=random asyncCopies=random seed=${seed}`),
];

test.each(runs)('%s: sound cases give the right results', (options) => {
  const outcomes = runCases('simt_cases', options, sound);
  expect(Object.keys(outcomes).sort()).toEqual([...sound].sort());
  for (const outcome of Object.values(outcomes)) expect(outcome).toEqual({ report: '', wrong: '' });
});

/** Faults, and the options under which the plain build reveals them. */
const revealed: [name: string, options: string][] = [
  ['syncthreads: none before a read', 'schedule=in-order'],
  ['syncthreads: none before a read', 'schedule=reverse'],
  ['syncthreads: none before a write', 'schedule=random seed=1'],
  ['syncwarp: missing', 'schedule=in-order'],
  ['named barriers: the reader does not wait', 'schedule=reverse'],
  ['named barriers: the writer does not wait', 'schedule=in-order'],
  ['mma: no wait for the last copies', 'asyncCopies=late'],
  ['mma: no barrier before the tiles are read', 'schedule=in-order'],
  ['mma: no barrier before the tiles are overwritten', 'schedule=starve seed=2'],
  ['wgmma: no wait for the products', 'asyncCopies=late'],
  ['wgmma: stage released by one of four warps', 'schedule=starve seed=1'],
  ['wgmma product: sums are read too early', 'asyncCopies=late'],
  ['box in, box out: overwritten before it is read', 'asyncCopies=late'],
  ['bulk copies: no wait between in and out', 'asyncCopies=late'],
  ['wgmma: wrong parity', ''],
  ['deadlock', ''],
  ['memory that is freed before a copy of it runs', ''],
  ['syncthreads: divergent', ''],
  ['masks: overlapping', 'schedule=random'],
];

test.each(revealed)('%s: revealed by "%s"', (name, options) => {
  const { report, wrong } = runCases('simt_cases', options, [name])[name]!;
  expect(report + wrong).not.toBe('');
});

test.each([
  [
    'device memory: null',
    /access to address \(nil\), which is not mapped\n {2}at csrc\/simt\/tests\/memory\.cu:\d+/,
  ],
  ['stack: 400 KB', /run out of its stack of 256 KiB/],
])('%s does not end the process', (name, expected) => {
  const outcomes = runCases('simt_cases', '', [name, 'elect']);
  expect(outcomes[name]!.report).toMatch(expected);
  expect(outcomes.elect).toEqual({ report: '', wrong: '' });
});

test('the same seed gives the same schedule', () => {
  const name = 'mma: no barrier before the tiles are overwritten';
  const outcomes = [1, 2].map((seed) =>
    [0, 1, 2].map(
      () => runCases('simt_cases', `schedule=random asyncCopies=random seed=${seed}`, [name])[name],
    ),
  );
  for (const same of outcomes) expect(same).toEqual([same[0], same[0], same[0]]);
});
