// The suites of jest.config.js, as the scripts in package.json select them.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';

const root = path.join(__dirname, '../..');
const { scripts } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as {
  scripts: Record<string, string>;
};

/** The files of tests that `npm run <script> -- <names>` would run, relative to test/. */
function testsOf(script: string, ...names: string[]): string[] {
  const [command, ...options] = scripts[script]!.split(' ');
  expect(command).toBe('jest');
  const args = [
    path.join(root, 'node_modules/jest/bin/jest.js'),
    ...options,
    ...names,
    '--listTests',
    '--json',
  ];
  const files = JSON.parse(execFileSync(process.execPath, args, { cwd: root, encoding: 'utf8' })) as string[];
  return files.map((file) => path.relative(path.join(root, 'test'), file));
}

test('the fast suite has all tests but the slow ones, and the slow suite has those', () => {
  const fast = testsOf('test');
  const slow = testsOf('test:slow');
  expect(fast).toContain('tooling/suites.test.ts');
  expect(fast.filter((file) => file.endsWith('.slow.test.ts'))).toEqual([]);
  expect(slow.length).toBeGreaterThan(0);
  expect(slow.filter((file) => !file.endsWith('.slow.test.ts'))).toEqual([]);
});

test('every suite runs a single file that it is given, once', () => {
  expect(testsOf('test', 'test/ops/layers/rope.test.ts')).toEqual(['ops/layers/rope.test.ts']);
  expect(testsOf('test:races', 'test/ops/layers/rope.test.ts')).toEqual(['ops/layers/rope.test.ts']);
  expect(testsOf('test:slow', 'readme.slow')).toEqual(['tooling/readme.slow.test.ts']);
});
