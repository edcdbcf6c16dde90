// `npm run test:sanitizers` runs the suite "sanitizers" of jest.config.js with AddressSanitizer and UndefinedBehaviorSanitizer
// in the addon and in two levels of the CPU, which it builds into a separate folder. Fails if a test fails or a sanitizer reports
// a problem, also in a process that a test starts. Passes its arguments to jest.
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { native } from '../lib/native/load';

const root = path.join(__dirname, '..');
const folder = path.join(root, 'build/sanitizers');
const reports = path.join(folder, 'reports');

/** Runs a script of the repository with this terminal's input and output, and returns whether it succeeded. */
function run(script: string, args: readonly string[], more: NodeJS.ProcessEnv = {}): boolean {
  const env = { ...process.env, ...more };
  return (
    spawnSync(process.execPath, [path.join(root, script), ...args], { cwd: root, env, stdio: 'inherit' })
      .status === 0
  );
}

/** Returns the compiler's runtime library of AddressSanitizer, which a process must load before all other libraries. */
function runtimeLibrary(): string {
  const compiler = process.env.CXX ?? 'c++';
  const { stdout } = spawnSync(compiler, ['-print-file-name=libasan.so'], { encoding: 'utf8' });
  return stdout.trim();
}

function environment(): NodeJS.ProcessEnv {
  return {
    LD_PRELOAD: runtimeLibrary(),
    // Ignores leaks, because Node frees little when it ends. Failed allocations return null, so that the addon reports them.
    ASAN_OPTIONS: `log_path=${reports}/report:detect_leaks=0:allocator_may_return_null=1`,
    // UndefinedBehaviorSanitizer ignores log_path when AddressSanitizer is present, and a test may swallow stderr. So it ends the
    // process, which makes the test fail.
    UBSAN_OPTIONS: 'halt_on_error=1:print_stacktrace=1',
    FORETOKEN_PREBUILD: folder, // where node-gyp-build finds the addon
  };
}

function main(more: readonly string[]): boolean {
  // The level that this machine would choose, and the portable one.
  const levels = [native.cpuInfo().isaLevels[0], 'baseline'];
  if (!run('scripts/build.js', [`--sanitizers=${levels.join()}`])) return false;
  // The emulated GPU computes in bfloat16, for which the addon has branches. The library must be beside the addon. It has no
  // sanitizers, because the emulator switches stacks.
  for (const kind of ['emulated', 'emulated_checked']) {
    const library = `build/Release/libforetoken_cuda_${kind}.so`;
    copyFileSync(path.join(root, library), path.join(folder, library));
  }
  const targets = JSON.stringify({ foretokenTargets: [...levels, 'cuda-emulated'] });
  rmSync(reports, { recursive: true, force: true });
  mkdirSync(reports);
  const passed = run(
    'node_modules/jest/bin/jest.js',
    ['--selectProjects', 'sanitizers', '--globals', targets, ...more],
    environment(),
  );
  const found = readdirSync(reports);
  for (const file of found) console.error(readFileSync(path.join(reports, file), 'utf8'));
  if (found.length > 0)
    console.error(`test:sanitizers: ${found.length} processes left reports in ${reports}`);
  return passed && found.length === 0;
}

if (require.main === module && !main(process.argv.slice(2))) process.exit(1);
