// `npm run test:cuda` runs the tests that need a GPU; it needs no network. It tests operations, training and decoding on the GPU
// and the conformance of the emulator with it. If compute-sanitizer is installed, it tests operations again under memcheck and
// racecheck. Without a GPU it fails, because nothing was tested.
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { native } from '../lib/native/load';

const root = path.join(__dirname, '..');
const jest = [path.join(root, 'node_modules/jest/bin/jest.js'), '--selectProjects', 'cuda', '--ci'];

/** Runs a command with this terminal's input and output, and returns whether it succeeded. */
function run(name: string, command: string, args: readonly string[]): boolean {
  console.log(`\n=== ${name}`);
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit' });
  if (error) console.error(`test:cuda: ${name}: ${error.message}`);
  return status === 0;
}

function isInstalled(command: string): boolean {
  return spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0;
}

function main(more: readonly string[]): boolean {
  const { devices, reason } = native.cudaInfo();
  if (devices.length === 0) {
    console.error(`test:cuda: no GPU to test on: ${reason}`);
    return false;
  }
  console.log(`GPU: ${devices[0]}`);
  let good = run('tests', process.execPath, [...jest, ...more]);
  if (!isInstalled('compute-sanitizer')) {
    console.log('\ncompute-sanitizer is not installed: memcheck and racecheck were NOT run');
    return good;
  }
  for (const tool of ['memcheck', 'racecheck']) {
    // Runs the tests in one process, because the sanitizer only sees the process that it starts.
    const sanitized = [
      '--tool',
      tool,
      '--error-exitcode',
      '9',
      process.execPath,
      ...jest,
      '--runInBand',
      'test/ops',
    ];
    good = run(`compute-sanitizer ${tool}`, 'compute-sanitizer', sanitized) && good;
  }
  return good;
}

if (require.main === module && !main(process.argv.slice(2))) process.exit(1);
