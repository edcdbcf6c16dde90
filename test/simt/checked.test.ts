// The checked build: under every schedule, sound cases pass and every fault is found.
import { faults, runCases, sound, wrongResults } from './cases';

const runs = [
  'residentBlocks=2',
  'residentBlocks=3 schedule=reverse asyncCopies=early',
  'residentBlocks=2 schedule=random asyncCopies=random seed=1',
  'residentBlocks=4 schedule=random asyncCopies=late seed=2',
  'residentBlocks=2 schedule=starve asyncCopies=random seed=3',
];

describe.each(runs)('%s', (options) => {
  const outcomes = runCases('simt_cases_checked', options);

  test('every case has an expectation', () => {
    expect(Object.keys(outcomes).sort()).toEqual([...sound, ...Object.keys(faults), ...wrongResults].sort());
  });

  test.each(sound)('%s', (name) => {
    expect(outcomes[name]).toEqual({ report: '', wrong: '' });
  });

  test.each(Object.entries(faults))('%s', (name, expected) => {
    expect(outcomes[name]!.report).toMatch(expected);
  });
});

test('without races=1 accesses are not checked', () => {
  const name = 'syncthreads: none before a write';
  expect(runCases('simt_cases_checked', 'races=0', [name])[name]!.report).toBe('');
  expect(runCases('simt_cases_checked', 'races=1', [name])[name]!.report).toMatch(/race on /);
});

test('sums of pending products are poison, unless products take effect early', () => {
  const [name] = wrongResults;
  expect(runCases('simt_cases_checked', 'asyncCopies=late', [name])[name]!.wrong).toMatch(/wrong/);
  expect(runCases('simt_cases_checked', 'asyncCopies=early', [name])[name]!.wrong).toBe('');
});

test('a report names the kernel, both accesses with their lines, and the last operation of the thread', () => {
  const name = 'mma: no barrier before the tiles are overwritten';
  const { report } = runCases('simt_cases_checked', '', [name])[name]!;
  const line = String.raw`csrc/simt/tests/tensor_cores\.cu:\d+(, in csrc/simt/tests/tensor_cores\.cu:\d+)*`;
  const thread = String.raw`block \(\d, \d, 0\), thread \(\d+, 0, 0\)`;
  expect(report).toMatch(
    new RegExp(
      [
        String.raw`^multiply_mma<.*>: race on dynamic shared memory, bytes \d+ … \d+ of 16384`,
        `  ${thread} writes at ${line}`,
        `  ${thread} reads at ${line}`,
        '  nothing orders the two',
        `  ${thread}; last operation: cp.async at ${line}$`,
      ].join('\n'),
    ),
  );
});

test('blocks that wait for a block that does not run are a livelock', () => {
  const name = 'blocks that wait for each other';
  const { report } = runCases('simt_cases_checked', 'residentBlocks=1', [name])[name]!;
  expect(report).toMatch(/livelock: .* residentBlocks is 1[^]*1 wait in /);
});
