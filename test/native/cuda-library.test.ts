// The seam between the addon and the library that holds the CUDA backend: what is wrong with it or with the GPU is a sentence.
import { execFileSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { native } from '../../lib/native/load';
import { openDevice } from '../../lib/tensor/device';
import { foretokenError } from '../support/errors';
import { TemporaryDirectory } from '../support/temporary';

const temporary = new TemporaryDirectory();
const build = join(__dirname, '../../build/Release');
const real = join(build, 'libforetoken_cuda.so');
const hasGpu = native.cudaInfo().devices.length > 0;

/** A library made of this C. */
function library(source: string): string {
  const file = join(temporary.path, 'library.c');
  const made = join(temporary.path, `library-${Math.random()}.so`);
  writeFileSync(file, source);
  execFileSync('cc', ['-shared', '-fPIC', '-o', made, file]);
  return made;
}

/** The functions that the addon looks for, for a version of the ABI. */
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
  test('that is not there', () => {
    expect(refusal('/nowhere/lib.so')).toBe(
      'this build of foretoken has no CUDA library (/nowhere/lib.so does not exist); ' +
        'in a clone of the repository, `npm run build` makes it',
    );
  });

  test('that is no library', () => {
    const file = join(temporary.path, 'text.so');
    writeFileSync(file, 'not a library');
    expect(refusal(file)).toMatch(/^the CUDA library does not load: .*text\.so/);
  });

  test('that is another library', () => {
    expect(refusal(library('int nothing;'))).toMatch(/is not a foretoken CUDA library/);
  });

  test('of another version of the ABI', () => {
    expect(refusal(library(functions(999)))).toMatch(
      /was built for ABI version 999, but this addon needs \d+; rebuild both together/,
    );
  });

  test('that sees no device says why', () => {
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

  test('that does not exist is refused, with those that do', () => {
    const emulated = join(build, 'libforetoken_cuda_emulated.so');
    expect(() => native.openCuda(7, emulated)).toThrow(
      foretokenError('INVALID_ARGUMENT', 'there is no CUDA device 7; there are 1, counted from 0'),
    );
  });

  test('takes no options, and the emulator none that it does not know', () => {
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
