// Proves that the tests of the kernels can fail: breaks one kernel at a time in a copy of the repository, builds the copy and
// expects the tests named for that mutation to fail. Only a failed expectation or a report of the emulator counts. A mutation
// that does not build, crashes or hangs is wrong, because it proves nothing about tolerances.
//
//   npm run mutate                     runs all of scripts/mutations
//   npm run mutate -- rope top-k-tie   runs those whose names begin so
//   npm run mutate -- cuda             runs those of CUDA kernels, on the emulator with its race checker
//   npm run mutate -- --list           lists their names
//   npm run mutate -- --page           writes docs/mutations.md from scripts/mutations
//
// After adding or running a mutation, copy the test that caught it into its entry and write the page.
//
// The first build compiles everything. CMAKE_CXX_COMPILER_LAUNCHER=ccache shortens later runs, and CMAKE_BUILD_PARALLEL_LEVEL
// limits how many files are compiled at a time.
import { spawn } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { mutations } from './mutations';
import { isCuda, type Mutation } from './mutations/mutation';
import { mutationsPage } from './mutations/page';
import { repositoryFiles } from './repository-files';

/** The outcome of a mutation. */
export type Verdict =
  | {
      kind: 'caught';
      by: string;
      failed: number;
      /** The emulator's report, if there was one. */
      report?: string;
    }
  | { kind: 'survived' }
  | { kind: 'error'; message: string };

/** The part of jest's --json report that is read here. */
export interface Report {
  testResults: {
    message: string;
    assertionResults: { fullName: string; status: string; failureMessages: string[] }[];
  }[];
}

/** Applies a mutation to the text of its file. Throws unless `find` occurs exactly once. */
export function mutated(text: string, { name, file, find, replace }: Mutation): string {
  const places = text.split(find).length - 1;
  if (places !== 1)
    throw new Error(`${name}: its text occurs ${places} times in ${file}, but must occur once`);
  return text.replace(find, () => replace);
}

/** Judges a report; null if the process wrote none. */
export function judge(report: Report | null): Verdict {
  if (!report) return { kind: 'error', message: 'the tests crashed or hung' };
  const tests = report.testResults.flatMap((suite) => suite.assertionResults);
  if (tests.length === 0) {
    return { kind: 'error', message: `no test ran: ${report.testResults[0]?.message ?? 'none was found'}` };
  }
  const failed = tests.filter(({ status }) => status === 'failed');
  // Ignores timeouts, because any test may time out on a busy machine.
  const inTime = failed.filter(
    ({ failureMessages }) => !failureMessages.join().includes('Exceeded timeout of'),
  );
  if (inTime[0]) {
    const report = inTime.flatMap(({ failureMessages }) => emulatorReports(failureMessages.join('\n')))[0];
    return { kind: 'caught', by: inTime[0].fullName, failed: inTime.length, ...(report && { report }) };
  }
  return failed[0]
    ? { kind: 'error', message: `only timeouts: ${failed[0].fullName}` }
    : { kind: 'survived' };
}

/** Finds the emulator's report of a kernel in the text of a failed test. */
function emulatorReports(text: string): string[] {
  const found = /cudaErrorLaunchFailure: ([^\n]*)/.exec(text);
  return found ? [found[1]!.trim()] : [];
}

const root = path.resolve(__dirname, '..');
const stop = new AbortController();
/** Milliseconds after which a build or a run of tests counts as hanging. */
const patience = 600_000;

/** A copy of the repository with its own build folder. */
class Copy {
  readonly root = mkdtempSync(path.join(os.tmpdir(), 'foretoken-mutate-'));

  /** Copies the files. Not done by the constructor, so that a copy that fails halfway can be disposed. */
  fill(): void {
    for (const file of repositoryFiles(root)) cpSync(path.join(root, file), path.join(this.root, file));
    symlinkSync(path.join(root, 'node_modules'), path.join(this.root, 'node_modules'), 'dir');
  }

  dispose(): void {
    rmSync(this.root, { recursive: true, force: true });
  }

  read(file: string): string {
    return readFileSync(path.join(this.root, file), 'utf8');
  }

  write(file: string, text: string): void {
    writeFileSync(path.join(this.root, file), text);
  }

  /** Runs a command to its end and returns its exit status and output. */
  async #run(command: string, ...parameters: string[]): Promise<{ status: number; output: string }> {
    stop.signal.throwIfAborted();
    // Starts a process group, so that the compilers that it starts end with it.
    const child = spawn(command, parameters, {
      ...{ cwd: this.root, detached: true },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const kill = (signal: 'SIGTERM' | 'SIGKILL'): void => {
      if (child.pid && child.exitCode === null && child.signalCode === null) process.kill(-child.pid, signal);
    };
    const alarm = setTimeout(() => kill('SIGKILL'), patience);
    // SIGTERM, because ninja starts compilers in other groups and ends them only if it is not killed.
    const end = (): void => kill('SIGTERM');
    stop.signal.addEventListener('abort', end);
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => (output += text));
    }
    const status = await new Promise<number>((resolve, reject) => {
      child.once('error', reject).once('close', (code) => resolve(code ?? 1));
    });
    clearTimeout(alarm);
    stop.signal.removeEventListener('abort', end);
    stop.signal.throwIfAborted();
    return { status, output };
  }

  /**
   * Builds the addon and the emulated libraries, the first time from scratch, later only `target`. Returns the error, or null.
   */
  async build(target = 'all'): Promise<string | null> {
    const { status, output } = existsSync(path.join(this.root, 'build/cmake/CMakeCache.txt'))
      ? await this.#run('cmake', '--build', 'build/cmake', '--target', target)
      : await this.#run(process.execPath, 'scripts/build.js', '--all', '--CDFORETOKEN_CUDA_ARCHS=none');
    if (status === 0) return null;
    return output.split('\n').find((line) => line.includes('error')) ?? output.slice(-500);
  }

  /** Runs tests; if `races`, on the emulator with its race checker. */
  async test(races: boolean, ...tests: string[]): Promise<Verdict> {
    const report = path.join(this.root, 'build/report.json');
    rmSync(report, { force: true });
    // Keeps jest's cache in the copy, whose path is new each time, so that disposing the copy removes the cache.
    const options = [
      ...['--selectProjects', races ? 'races' : 'fast', '--json', '--testTimeout=120000'],
      `--outputFile=${report}`,
      '--cacheDirectory',
      'build/jest',
      '--runTestsByPath',
    ];
    const { status } = await this.#run(
      process.execPath,
      'node_modules/jest/bin/jest.js',
      ...options,
      ...tests,
    );
    const verdict = judge(existsSync(report) ? (JSON.parse(readFileSync(report, 'utf8')) as Report) : null);
    if (verdict.kind === 'survived' && status !== 0) {
      return { kind: 'error', message: `no test failed, but jest ended with status ${status}` };
    }
    return verdict;
  }
}

function chosen(names: readonly string[]): Mutation[] {
  if (names.length === 0) return [...mutations];
  const unknown = names.filter((name) => !mutations.some((mutation) => mutation.name.startsWith(name)));
  if (unknown.length > 0)
    throw new Error(`no mutation is called ${unknown.join(', ')}; --list lists their names`);
  return mutations.filter((mutation) => names.some((name) => mutation.name.startsWith(name)));
}

async function tryOut(copy: Copy, mutation: Mutation): Promise<Verdict> {
  const original = copy.read(mutation.file);
  copy.write(mutation.file, mutated(original, mutation));
  try {
    const problem = await copy.build(isCuda(mutation) ? 'foretoken_cuda_emulated_checked' : 'foretoken');
    return problem
      ? { kind: 'error', message: `does not build: ${problem}` }
      : await copy.test(isCuda(mutation), mutation.test);
  } finally {
    copy.write(mutation.file, original);
  }
}

function describeVerdict(verdict: Verdict): string {
  switch (verdict.kind) {
    case 'caught':
      return (
        verdict.by +
        (verdict.failed > 1 ? `, and ${verdict.failed - 1} more` : '') +
        (verdict.report ? `; the emulator: ${verdict.report}` : '')
      );
    case 'survived':
      return 'SURVIVED';
    case 'error':
      return `ERROR: ${verdict.message}`;
  }
}

async function main(names: readonly string[]): Promise<boolean> {
  const selected = chosen(names);
  // Checks all mutations before anything is built.
  for (const mutation of selected) {
    mutated(readFileSync(path.join(root, mutation.file), 'utf8'), mutation);
    if (!existsSync(path.join(root, mutation.test))) {
      throw new Error(`${mutation.name}: ${mutation.test} does not exist`);
    }
  }
  const copy = new Copy();
  try {
    copy.fill();
    console.log(`building a copy in ${copy.root}`);
    const problem = await copy.build();
    if (problem) throw new Error(`the copy does not build: ${problem}`);
    for (const races of [false, true]) {
      const tests = new Set(selected.filter((each) => isCuda(each) === races).map(({ test }) => test));
      if (tests.size === 0) continue;
      const unmutated = await copy.test(races, ...tests);
      if (unmutated.kind !== 'survived') {
        throw new Error(`the tests fail without any mutation: ${describeVerdict(unmutated)}`);
      }
      console.log(`${tests.size} files of tests pass without mutations${races ? ', race-checked' : ''}`);
    }

    const verdicts: Verdict[] = [];
    for (const mutation of selected) {
      const verdict = await tryOut(copy, mutation);
      verdicts.push(verdict);
      console.log(`${verdicts.length}/${selected.length} ${mutation.name}: ${describeVerdict(verdict)}`);
    }
    const caught = verdicts.filter(({ kind }) => kind === 'caught').length;
    console.log(`\n${caught} of ${verdicts.length} caught`);
    return caught === verdicts.length;
  } finally {
    copy.dispose();
  }
}

if (require.main === module) {
  const names = process.argv.slice(2);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => stop.abort(new Error(`ended by ${signal}`)));
  }
  if (names.includes('--list')) {
    for (const { name, breaks } of mutations) console.log(`${name.padEnd(40)}${breaks}`);
  } else if (names.includes('--page')) {
    writeFileSync(path.join(root, 'docs/mutations.md'), mutationsPage());
  } else {
    main(names).then(
      (good) => (process.exitCode = good ? 0 : 1),
      (error: unknown) => {
        console.error(`mutate: ${(error as Error).message}`);
        process.exitCode = stop.signal.aborted ? 130 : 1;
      },
    );
  }
}
