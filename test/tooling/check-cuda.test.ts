// Reading the output of ptxas in scripts/check-cuda.ts, and its answers if there is nothing to check.
import { spawnSync } from 'node:child_process';
import { cpSync } from 'node:fs';
import path from 'node:path';
import { parseLosses, parseReport } from '../../scripts/check-cuda';
import { TemporaryDirectory } from '../support/temporary';

const root = path.join(__dirname, '../..');
const package_ = new TemporaryDirectory();

const text = `
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '_Z1fv' for 'sm_90a'
ptxas info    : Function properties for _Z1fv
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 168 registers, used 1 barriers
ptxas info    : (C7515) Potential Performance Loss: wgmma.mma_async instructions are serialized due to something
ptxas info    : Compiling entry function '_Z1gv' for 'sm_80'
    32 bytes stack frame, 12 bytes spill stores, 20 bytes spill loads
ptxas info    : Used 255 registers, used 1 barriers, 32 bytes cumulative stack size
ptxas warning : (C7508) setmaxnreg is ignored
`;

test('registers and spills are read for each kernel on each target', () => {
  expect(parseReport(text)).toEqual([
    { kernel: '_Z1fv', target: 'sm_90a', registers: 168, spilled: 0 },
    { kernel: '_Z1gv', target: 'sm_80', registers: 255, spilled: 32 },
  ]);
});

test('warnings about performance are read', () => {
  expect(parseLosses(text)).toEqual([
    'Potential Performance Loss: wgmma.mma_async instructions are serialized due to something',
    'setmaxnreg is ignored',
  ]);
});

describe('nothing is checked', () => {
  const check = (): string => {
    const script = package_.at('scripts/check-cuda.ts');
    cpSync(path.join(root, 'scripts/check-cuda.ts'), script);
    const argv = ['--require', path.join(root, 'scripts/typescript-hook.js'), script];
    const { status, stdout, stderr } = spawnSync(process.execPath, argv, { encoding: 'utf8' });
    expect([status, stderr]).toEqual([0, '']);
    return stdout;
  };
  const configured = (archs: string): void =>
    void package_.write('build/cmake/CMakeCache.txt', `FORETOKEN_CUDA_ARCHS:STRING=${archs}\n`);

  test('without a build', () => {
    expect(check()).toBe('CUDA library NOT BUILT and not checked, because nothing was built\n');
  });

  test('after a build for no GPU, even if the CUDA library of an earlier build is left', () => {
    configured('none');
    package_.write('build/Release/libforetoken_cuda.so', '');
    package_.write('build/cmake/CMakeFiles/foretoken_cuda.dir/csrc/cuda/linear/linear.cu.o.ptxas', text);
    expect(check()).toBe('CUDA library NOT BUILT and not checked, because FORETOKEN_CUDA_ARCHS was none\n');
  });

  test('after a build without nvcc', () => {
    configured('80,90a');
    expect(check()).toBe(
      'CUDA library NOT BUILT and not checked, because nvcc is missing (https://developer.nvidia.com/cuda-toolkit)\n',
    );
  });
});
