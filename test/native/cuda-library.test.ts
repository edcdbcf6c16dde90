// The addon loads the library of the CUDA backend. A fault of the library or the GPU is reported in a sentence.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { native } from '../../lib/native/load';
import { openDevice } from '../../lib/tensor/device';
import { foretokenError } from '../support/errors';
import { startScript } from '../support/process';
import { TemporaryDirectory } from '../support/temporary';

const temporary = new TemporaryDirectory();
const build = join(__dirname, '../../build/Release');
const real = join(build, 'libforetoken_cuda.so');
const hasGpu = native.cudaInfo().devices.length > 0;

/** Compiles a library from this C. */
function library(source: string): string {
  const file = join(temporary.path, 'library.c');
  const made = join(temporary.path, `library-${Math.random()}.so`);
  writeFileSync(file, source);
  execFileSync('cc', ['-shared', '-fPIC', '-o', made, file]);
  return made;
}

/** Source of the functions that the addon requires, for a version of the ABI. */
const functions = (abi: number): string => `
  #include <stdio.h>
  unsigned foretoken_backend_abi_version(void) { return ${abi}; }
  int foretoken_backend_device_count(char* reason, size_t size) { snprintf(reason, size, "all asleep"); return 0; }
  void foretoken_backend_device_name(int index, char* name, size_t size) {}
  void* foretoken_backend_open(int i, const char* o, long* m, char* reason, size_t size) { return 0; }
`;

function refusal(path: string): string {
  const { devices, reason } = native.cudaInfo(path);
  expect(devices).toEqual([]);
  expect(() => native.openCuda(0, path)).toThrow(foretokenError('DEVICE_UNAVAILABLE', reason!));
  return reason!;
}

describe('a CUDA library', () => {
  test('that does not exist', () => {
    expect(refusal('/nowhere/lib.so')).toBe(
      'this build of foretoken has no CUDA library (/nowhere/lib.so does not exist); ' +
        'in a clone of the repository, `npm run build` builds it',
    );
  });

  test('that is not a library', () => {
    const file = join(temporary.path, 'text.so');
    writeFileSync(file, 'not a library, but longer than the header of one would be'.repeat(4));
    expect(refusal(file)).toMatch(/^cannot load the CUDA library: .*text\.so/);
  });

  // In a process of its own, because loading the file anyway would end the process with a bus error.
  test.each([10, 64, 4096, 0.5, 0.99])('that is cut off after %s', async (length) => {
    const whole = readFileSync(join(build, 'libforetoken_cuda_emulated.so'));
    const file = join(temporary.path, 'cut-off.so');
    writeFileSync(file, whole.subarray(0, length < 1 ? whole.length * length : length));
    const script = join(temporary.path, 'open.ts');
    writeFileSync(
      script,
      `
        import { native } from ${JSON.stringify(join(__dirname, '../../lib/native/load'))};
        console.log(native.cudaInfo(${JSON.stringify(file)}).reason);
        try { native.openCuda(0, ${JSON.stringify(file)}); } catch (error) { console.log(error.code); }
      `,
    );
    const { code, stdout } = await startScript(script).ended;
    expect(stdout).toMatch(/^.*cut-off\.so is incomplete: .*build\.js\nDEVICE_UNAVAILABLE\n$/);
    expect(code).toBe(0);
  });

  test('that is another library', () => {
    expect(refusal(library('int nothing;'))).toMatch(/is not a foretoken CUDA library/);
  });

  test('of another version of the ABI', () => {
    expect(refusal(library(functions(999)))).toMatch(
      /was built for ABI version 999, but this addon needs \d+; rebuild both together/,
    );
  });

  test('that finds no device says why', () => {
    const abi = Number(/needs (\d+);/.exec(refusal(library(functions(999))))![1]);
    expect(refusal(library(functions(abi)))).toBe('all asleep');
  });

  test('without a driver says so', () => {
    if (hasGpu) return;
    const { reason } = native.cudaInfo();
    const wanted = existsSync(real)
      ? /^there is no NVIDIA driver on this system$|^the NVIDIA driver sees no GPU$/
      : /^this build of foretoken has no CUDA library/;
    expect(reason).toMatch(wanted);
  });
});

describe('a GPU', () => {
  const pretend = (facts: object) => () => openDevice('cuda-emulated', { emulator: facts });

  test.each([
    ['no driver', { driver: 0 }, 'there is no NVIDIA driver on this system'],
    [
      'too old a driver',
      { driver: 12020 },
      'the NVIDIA driver is for CUDA 12.2, but foretoken needs one for CUDA 13.0 or later',
    ],
    ['no device', { devices: 0 }, 'the NVIDIA driver sees no GPU'],
    [
      'too old a device',
      { computeCapability: 75 },
      'has compute capability 7.5, but foretoken needs 8.0 or later',
    ],
  ])('with %s is refused in a sentence of its own', (_, facts, sentence) => {
    expect(pretend(facts)).toThrow(foretokenError('DEVICE_UNAVAILABLE', sentence));
  });

  test('that does not exist is refused, with a list of those that do', () => {
    const emulated = join(build, 'libforetoken_cuda_emulated.so');
    expect(() => native.openCuda(7, emulated)).toThrow(
      foretokenError('INVALID_ARGUMENT', 'there is no CUDA device 7; the index must be in 0 … 0'),
    );
  });

  test('takes no options, and the emulator refuses unknown options', () => {
    if (hasGpu) {
      expect(() => native.openCuda(0, real, 'speed=11')).toThrow(
        foretokenError('DEVICE_UNAVAILABLE', 'speed=11'),
      );
    }
    const emulated = join(build, 'libforetoken_cuda_emulated.so');
    expect(() => native.openCuda(0, emulated, 'schedule=fast')).toThrow(
      foretokenError('DEVICE_UNAVAILABLE', 'schedule', 'fast'),
    );
  });
});
