// Every result of the CUDA runtime is checked: where csrc/cuda is compiled for the emulator, ignoring one is an error.
import { compileForEmulator } from '../support/emulator-compiler';

/** The compiler's messages about a function with these statements; empty if it compiles. */
function compile(statements: string): string {
  return compileForEmulator(
    ['csrc/cuda/context.h'],
    `void f(cudaStream_t stream, cudaEvent_t event, void* memory) { ${statements} }`,
  );
}

test('results that are checked, and those that are discarded with a reason, compile', () => {
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
