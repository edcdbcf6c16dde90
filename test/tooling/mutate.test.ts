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

  test.each(['nothing of the kind', 'sum += x; sum += x'])('refuse “%s”', (text) => {
    expect(() => mutated(text, mutation)).toThrow(
      /sum-sign: its text stands (0|2) times in csrc\/cpu\/sum\.cc/,
    );
  });

  // A changed kernel shows here, long before somebody runs the mutations.
  test.each(mutations)('$name still has its place and its tests', (each) => {
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
  test('is that a failed expectation caught it', () => {
    const report = reportOf(passed, failed('adds up', 'Expected: 1'), failed('adds more', 'Expected: 2'));
    expect(judge(report)).toEqual({ kind: 'caught', by: 'adds up', failed: 2 });
  });

  test('tells what the emulator reported', () => {
    const message = 'ForetokenError: the device failed with cudaErrorLaunchFailure: kernel: deadlock\n  details';
    expect(judge(reportOf(failed('adds up', 'Expected: 1'), failed('adds', message)))).toEqual({
      ...{ kind: 'caught', by: 'adds up', failed: 2, report: 'kernel: deadlock' },
    });
  });

  test('is that it survived', () => {
    expect(judge(reportOf(passed, passed))).toEqual({ kind: 'survived' });
  });

  test('is an error where nothing was tested', () => {
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
