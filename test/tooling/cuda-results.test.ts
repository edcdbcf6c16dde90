// Every result of the CUDA runtime is looked at: where csrc/cuda is compiled for the emulator, a result that is not is an error.
import { spawnSync } from 'node:child_process';
import path from 'node:path';

const root = path.join(__dirname, '../..');

/** What the compiler says of a function with these statements; empty if it takes them. */
function compile(statements: string): string {
  const source = `
    #include "csrc/cuda/context.h"
    namespace foretoken::cuda {
    void f(cudaStream_t stream, cudaEvent_t event, void* memory) { ${statements} }
    }
  `;
  const options = [
    '-std=c++20',
    '-DFORETOKEN_EMULATED',
    '-Wno-unknown-pragmas',
    `-I${root}`,
    '-fsyntax-only',
    '-xc++',
    '-',
  ];
  const { status, stderr } = spawnSync(process.env.CXX ?? 'c++', options, {
    input: source,
    encoding: 'utf8',
  });
  return status === 0 ? '' : stderr;
}

test('results that are looked at, and those that are discarded with a reason', () => {
  expect(
    compile(`
      check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
      discard(cudaFree(memory), "nothing uses it any more");
      if (cudaEventQuery(event) != cudaSuccess) return;
    `),
  ).toBe('');
});

test.each([
  'cudaStreamSynchronize(stream);',
  'if (memory) cudaFree(memory);',
  'cudaEventRecord(event, stream), check(cudaStreamQuery(stream), "cudaStreamQuery");',
  'cudaGetLastError();',
])('%s does not compile', (statement) => {
  expect(compile(statement)).toMatch(/error: ignoring return.*cudaError_t.*nodiscard/);
});
