// `npm run test:sanitizers`: the suite "sanitizers" of jest.config.js, with AddressSanitizer and UndefinedBehaviorSanitizer in
// the addon and in two levels of the CPU, which are built into a folder of their own. Fails where a test fails and where a
// sanitizer reports something, also in a process that a test started. Arguments go to jest.
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { native } from '../lib/native/load';

const root = path.join(__dirname, '..');
const folder = path.join(root, 'build/sanitizers');
const reports = path.join(folder, 'reports');

/** Runs a program of the repository with this terminal; says whether it succeeded. */
function run(script: string, args: readonly string[], more: NodeJS.ProcessEnv = {}): boolean {
  const env = { ...process.env, ...more };
  return (
    spawnSync(process.execPath, [path.join(root, script), ...args], { cwd: root, env, stdio: 'inherit' })
      .status === 0
  );
}

/** The compiler's runtime library of AddressSanitizer, which a process must load before everything else. */
function runtimeLibrary(): string {
  const compiler = process.env.CXX ?? 'c++';
  const { stdout } = spawnSync(compiler, ['-print-file-name=libasan.so'], { encoding: 'utf8' });
  return stdout.trim();
}

function environment(): NodeJS.ProcessEnv {
  return {
    LD_PRELOAD: runtimeLibrary(),
    // Node frees little when it ends. Memory that cannot be had must become an error of the addon.
    ASAN_OPTIONS: `log_path=${reports}/report:detect_leaks=0:allocator_may_return_null=1`,
    // Beside AddressSanitizer it ignores log_path and writes to stderr, which a test may swallow; but where a process ends, its
    // test fails.
    UBSAN_OPTIONS: 'halt_on_error=1:print_stacktrace=1',
    FORETOKEN_PREBUILD: folder, // where node-gyp-build finds the addon
  };
}

function main(more: readonly string[]): boolean {
  // The level that this machine would choose, and the portable one.
  const levels = [native.cpuInfo().isaLevels[0], 'baseline'];
  if (!run('scripts/build.js', [`--sanitizers=${levels.join()}`])) return false;
  // A few tests compare with the emulated GPU, whose library lies beside the addon. It has no sanitizers, because it switches
  // stacks itself.
  for (const kind of ['emulated', 'emulated_checked']) {
    const library = `build/Release/libforetoken_cuda_${kind}.so`;
    copyFileSync(path.join(root, library), path.join(folder, library));
  }
  rmSync(reports, { recursive: true, force: true });
  mkdirSync(reports);
  const passed = run(
    'node_modules/jest/bin/jest.js',
    ['--selectProjects', 'sanitizers', '--globals', JSON.stringify({ foretokenTargets: levels }), ...more],
    environment(),
  );
  const found = readdirSync(reports);
  for (const file of found) console.error(readFileSync(path.join(reports, file), 'utf8'));
  if (found.length > 0)
    console.error(`test:sanitizers: ${found.length} processes left reports in ${reports}`);
  return passed && found.length === 0;
}

if (require.main === module && !main(process.argv.slice(2))) process.exit(1);
