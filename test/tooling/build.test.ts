// The GPUs that the build script tells CMake to compile kernels for. The tests run a copy of the scripts with fake versions of
// cmake and nvidia-smi.
import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, readFileSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { TemporaryDirectory } from '../support/temporary';

const root = path.join(__dirname, '../..');
const package_ = new TemporaryDirectory();
const { TARGETS } = jest.requireActual<{ TARGETS: Map<string, string> }>('../../scripts/cuda-archs.js');

beforeEach(() => {
  for (const name of ['scripts', 'package.json', 'CMakeLists.txt'])
    cpSync(path.join(root, name), package_.at(name), { recursive: true });
  symlinkSync(path.join(root, 'node_modules'), package_.at('node_modules'));
  program('cmake', `echo "$@" >> ${package_.at('cmake.log')}`);
  for (const name of ['c++', 'make', 'ninja', 'nvidia-smi'])
    program(name, name === 'nvidia-smi' ? 'exit 9' : '');
});

function program(name: string, commands: string): void {
  chmodSync(package_.write(`bin/${name}`, `#!/bin/sh\n${commands}\n`), 0o755);
}

function gpus(...capabilities: string[]): void {
  program('nvidia-smi', `[ "$1" = --query-gpu=compute_cap ] && printf '${capabilities.join('\\n')}\\n'`);
}

/** Writes the cache of an earlier build. */
function built(archs: string): void {
  package_.write('build/cmake/CMakeCache.txt', `FORETOKEN_CUDA_ARCHS:STRING=${archs}\n`);
}

/** Runs the script, and returns the FORETOKEN_CUDA_ARCHS and the target that CMake is given. */
function build(
  script: string,
  env: Record<string, string> = {},
  ...argv: string[]
): { archs: string; target: string } {
  const { status, stderr } = spawnSync(process.execPath, [package_.at(script), ...argv], {
    env: { PATH: `${package_.at('bin')}:/bin:/usr/bin`, ...env },
    encoding: 'utf8',
  });
  expect([status, stderr]).toEqual([0, '']);
  const log = readFileSync(package_.at('cmake.log'), 'utf8');
  return {
    archs: /-DFORETOKEN_CUDA_ARCHS=(\S+)/.exec(log)![1]!,
    target: /--build .* --target (\S+)/.exec(log)![1]!,
  };
}

describe('an installation builds for', () => {
  const install = (env?: Record<string, string>): string => {
    const { archs, target } = build('scripts/install.js', env);
    expect(target).toBe('package_libraries');
    return archs;
  };

  test('only the CPU if no driver answers', () => {
    expect(install()).toBe(existsSync('/proc/driver/nvidia/gpus') ? 'all' : 'none');
  });

  test.each([
    [['9.0'], '90a'],
    [['12.0', '8.6', '8.9', '8.6'], '80,89,120'],
    [['10.3'], '100f'],
    [['7.5', '8.0'], '80'],
    [['7.5'], 'none'],
    [[], 'none'],
    [['9.0', '47.0'], 'all'],
    [['[N/A]'], 'all'],
  ])('GPUs of compute capability %j: %s', (capabilities, archs) => {
    gpus(...capabilities);
    expect(install()).toBe(archs);
  });

  test.each(['all', '80,120', 'none'])('FORETOKEN_CUDA_ARCHS=%s', (archs) => {
    gpus('9.0');
    expect(install({ FORETOKEN_CUDA_ARCHS: archs })).toBe(archs);
  });

  test('the GPUs that an earlier build was for', () => {
    gpus('9.0');
    built('80,89,90a,100f,120');
    expect(install()).toBe('80,89,90a,100f,120');
  });

  test('the GPUs of the machine, if an earlier build was for none', () => {
    gpus('9.0');
    built('none');
    expect(install()).toBe('90a');
  });
});

test('`npm run build` builds everything for all GPUs, regardless of an earlier build', () => {
  const { scripts } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as {
    scripts: Record<string, string>;
  };
  const [, script, flags] = /^node (\S+) (\S+) &&/.exec(scripts.build!)!;
  built('none');
  expect(build(script!, {}, flags!)).toEqual({ archs: 'all', target: 'all' });
});

test('an addon with sanitizers is built into a separate folder, without GPUs', () => {
  gpus('9.0');
  expect(build('scripts/build.js', {}, '--sanitizers=avx2,baseline').archs).toBe('none');
  const log = readFileSync(package_.at('cmake.log'), 'utf8');
  expect(log).toContain('-DFORETOKEN_SANITIZERS=avx2,baseline');
  expect(log).toContain(`-DFORETOKEN_OUTPUT=${package_.at('build/sanitizers/build/Release')}`);
});

test('a build without CUDA removes the CUDA library of an earlier one, unless its output is another folder', () => {
  symlinkSync(path.join(root, 'csrc'), package_.at('csrc'));
  const left = ['libforetoken_cuda.so', 'ptx_dump'].map((name) =>
    package_.write(`build/Release/${name}`, ''),
  );
  const configure = (output: string): void => {
    const variables = ['-DFORETOKEN_CUDA_ARCHS=none', `-DFORETOKEN_OUTPUT=${package_.at(output)}`];
    const argv = ['-S', package_.path, '-B', package_.at('build/cmake'), ...variables];
    const { status, stderr } = spawnSync('cmake', argv, { encoding: 'utf8' });
    expect([status, stderr]).toEqual([0, '']);
  };
  configure('build/arm64');
  expect(left.filter((file) => existsSync(file))).toEqual(left);
  configure('build/Release');
  expect(left.filter((file) => existsSync(file))).toEqual([]);
});

test('packages have every target that a machine may need', () => {
  const lists = readFileSync(path.join(root, 'CMakeLists.txt'), 'utf8');
  const all = /FORETOKEN_CUDA_ARCHS PROPERTY VALUE "(.*)"/.exec(lists)![1]!.split(',');
  expect([...new Set(TARGETS.values())]).toEqual(all);
});
