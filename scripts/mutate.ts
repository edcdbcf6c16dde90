// Proves that the tests of the kernels can fail: breaks one kernel at a time in a copy of the repository, builds it
// there and expects the tests named for that mutation to notice. Only a failed expectation counts; what does not build,
// crashes or hangs is a fault of the mutation, because it says nothing about tolerances.
//
//   npm run mutate                     all of scripts/mutations
//   npm run mutate -- rope top-k-tie   those whose name is one of these or begins with it
//   npm run mutate -- cuda             those of CUDA kernels, whose tests run on the emulator with its race checker
//   npm run mutate -- --list           their names
//   npm run mutate -- --page           writes docs/mutations.md from scripts/mutations
//
// Whoever adds or runs a mutation copies what caught it into its entry and writes the page.
//
// The first build is a whole one. CMAKE_CXX_COMPILER_LAUNCHER=ccache makes the next ones short, and
// CMAKE_BUILD_PARALLEL_LEVEL limits how much is compiled at a time.
import { spawn } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { mutations } from './mutations';
import { isCuda, type Mutation } from './mutations/mutation';
import { mutationsPage } from './mutations/page';
import { repositoryFiles } from './repository-files';

/** What became of a mutation. */
export type Verdict =
  | {
      kind: 'caught';
      by: string;
      failed: number;
      /** What the emulator reported, if it was it that noticed, and not an expectation. */
      report?: string;
    }
  | { kind: 'survived' }
  | { kind: 'error'; message: string };

/** Jest's --json report, as far as it is read here. */
export interface Report {
  testResults: {
    message: string;
    assertionResults: { fullName: string; status: string; failureMessages: string[] }[];
  }[];
}

/** The text with the mutation in it. Refuses one that does not say exactly where it belongs. */
export function mutated(text: string, { name, file, find, replace }: Mutation): string {
  const places = text.split(find).length - 1;
  if (places !== 1)
    throw new Error(`${name}: its text stands ${places} times in ${file}, but must stand once`);
  return text.replace(find, () => replace);
}

/** The verdict of a report; null is the report of a process that wrote none. */
export function judge(report: Report | null): Verdict {
  if (!report) return { kind: 'error', message: 'the tests crashed or hung' };
  const tests = report.testResults.flatMap((suite) => suite.assertionResults);
  if (tests.length === 0) {
    return { kind: 'error', message: `no test ran: ${report.testResults[0]?.message ?? 'none was found'}` };
  }
  const failed = tests.filter(({ status }) => status === 'failed');
  // On a busy machine anything may time out.
  const inTime = failed.filter(
    ({ failureMessages }) => !failureMessages.join().includes('Exceeded timeout of'),
  );
  if (inTime[0]) {
    const report = inTime.flatMap(({ failureMessages }) => emulatorReports(failureMessages.join('\n')))[0];
    return { kind: 'caught', by: inTime[0].fullName, failed: inTime.length, ...(report && { report }) };
  }
  return failed[0]
    ? { kind: 'error', message: `nothing but timeouts: ${failed[0].fullName}` }
    : { kind: 'survived' };
}

/** What the emulator has to say of a kernel, in the text of a failed test. */
function emulatorReports(text: string): string[] {
  const found = /cudaErrorLaunchFailure: ([^\n]*)/.exec(text);
  return found ? [found[1]!.trim()] : [];
}

const root = path.resolve(__dirname, '..');
const stop = new AbortController();
/** Milliseconds after which a build or a run of tests counts as hanging. */
const patience = 600_000;

/** A copy of what git knows or would add, with a build folder of its own. */
class Copy {
  readonly root = mkdtempSync(path.join(os.tmpdir(), 'foretoken-mutate-'));

  /** Copies the files. Not part of construction, so that a copy that ends halfway can be disposed. */
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

  /** Runs a command to its end. Gives its exit status, and what it said. */
  async #run(command: string, ...parameters: string[]): Promise<{ status: number; output: string }> {
    stop.signal.throwIfAborted();
    // A group of its own, so that what it starts (compilers) ends with it.
    const child = spawn(command, parameters, {
      ...{ cwd: this.root, detached: true },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const kill = (signal: 'SIGTERM' | 'SIGKILL'): void => {
      if (child.pid && child.exitCode === null && child.signalCode === null) process.kill(-child.pid, signal);
    };
    const alarm = setTimeout(() => kill('SIGKILL'), patience);
    // Ninja gives compilers groups of their own, and ends them when it is asked to end, not when it is killed.
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
   * Builds the addon and the emulated libraries, the first time from nothing; later a target alone. Gives what went wrong.
   */
  async build(target = 'all'): Promise<string | null> {
    const { status, output } = existsSync(path.join(this.root, 'build/cmake/CMakeCache.txt'))
      ? await this.#run('cmake', '--build', 'build/cmake', '--target', target)
      : await this.#run(process.execPath, 'scripts/build.js', '--all', '--CDFORETOKEN_CUDA_ARCHS=none');
    if (status === 0) return null;
    return output.split('\n').find((line) => line.includes('error')) ?? output.slice(-500);
  }

  /** Runs tests, on the emulator with its race checker if `races`. */
  async test(races: boolean, ...tests: string[]): Promise<Verdict> {
    const report = path.join(this.root, 'build/report.json');
    rmSync(report, { force: true });
    // The copy's path is new each time, so what jest caches for it would be left behind.
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
  if (unknown.length > 0) throw new Error(`no mutation is called ${unknown.join(', ')}; see --list`);
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
  // All of them are looked up before anything is built.
  for (const mutation of selected) {
    mutated(readFileSync(path.join(root, mutation.file), 'utf8'), mutation);
    if (!existsSync(path.join(root, mutation.test))) {
      throw new Error(`${mutation.name}: there is no ${mutation.test}`);
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
