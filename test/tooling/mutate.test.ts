import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { judge, mutated, type Report } from '../../scripts/mutate';
import { mutations } from '../../scripts/mutations';
import type { Mutation } from '../../scripts/mutations/mutation';
import { mutationsPage } from '../../scripts/mutations/page';

const root = path.join(__dirname, '../..');
const mutation: Mutation = {
  ...{ name: 'sum-sign', breaks: 'the sign of a sum', file: 'csrc/cpu/sum.cc', test: 'test/ops/sum.test.ts' },
  ...{ find: 'sum += x', replace: "sum -= $& - $'x" },
};

type Result = Report['testResults'][number]['assertionResults'][number];
const passed: Result = { fullName: 'adds', status: 'passed', failureMessages: [] };
const failed = (fullName: string, message: string): Result => ({
  ...{ fullName, status: 'failed', failureMessages: [message] },
});
const reportOf = (...assertionResults: Result[]): Report => ({
  testResults: [{ message: 'Test suite failed to run', assertionResults }],
});

describe('mutations', () => {
  test('replace their text and nothing else, literally', () => {
    expect(mutated('a; sum += x; b;', mutation)).toBe("a; sum -= $& - $'x; b;");
  });

  test.each(['product *= x', 'sum += x; sum += x'])('refuse “%s”', (text) => {
    expect(() => mutated(text, mutation)).toThrow(
      /sum-sign: its text occurs (0|2) times in csrc\/cpu\/sum\.cc/,
    );
  });

  // Finds mutations of changed lines, long before the mutations are run again.
  test.each(mutations)('$name finds its line and its tests', (each) => {
    mutated(readFileSync(path.join(root, each.file), 'utf8'), each);
    expect(existsSync(path.join(root, each.test))).toBe(true);
    expect(each.replace).not.toBe(each.find);
  });

  test('have different names', () => {
    expect(new Set(mutations.map(({ name }) => name)).size).toBe(mutations.length);
  });

  test('are all in docs/mutations.md, which `npm run mutate -- --page` writes', () => {
    expect(readFileSync(path.join(root, 'docs/mutations.md'), 'utf8')).toBe(mutationsPage());
  });
});

describe('the verdict', () => {
  test('is “caught” after a failed expectation', () => {
    const report = reportOf(passed, failed('adds up', 'Expected: 1'), failed('adds more', 'Expected: 2'));
    expect(judge(report)).toEqual({ kind: 'caught', by: 'adds up', failed: 2 });
  });

  test('includes the report of the emulator', () => {
    const message =
      'ForetokenError: the device failed with cudaErrorLaunchFailure: kernel: deadlock\n  details';
    expect(judge(reportOf(failed('adds up', 'Expected: 1'), failed('adds', message)))).toEqual({
      ...{ kind: 'caught', by: 'adds up', failed: 2, report: 'kernel: deadlock' },
    });
  });

  test('is “survived” if all tests pass', () => {
    expect(judge(reportOf(passed, passed))).toEqual({ kind: 'survived' });
  });

  test('is an error if nothing was tested', () => {
    expect(judge(null)).toMatchObject({ kind: 'error', message: expect.stringContaining('crashed') });
    expect(judge(reportOf())).toMatchObject({
      kind: 'error',
      message: expect.stringContaining('no test ran'),
    });
    const timeout = failed('adds up', 'thrown: "Exceeded timeout of 20000 ms for a test.');
    expect(judge(reportOf(passed, timeout))).toMatchObject({ kind: 'error' });
    expect(judge(reportOf(timeout, failed('adds', 'Expected: 1')))).toMatchObject({
      kind: 'caught',
      by: 'adds',
    });
  });
});
