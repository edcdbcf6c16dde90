// What `npm run mutate -- cuda-memory` breaks in how the backend for GPUs gives memory back while work still uses it: its tests
// run random programs with too little memory and calls that fail.
import type { Mutation } from './mutations';

const programs = 'test/cuda/memory-programs.test.ts';

function inFile(file: string, test: string, list: readonly Omit<Mutation, 'file' | 'test'>[]): Mutation[] {
  return list.map((mutation) => ({ ...mutation, file, test }));
}

export const memoryMutations: readonly Mutation[] = [
  ...inFile('csrc/cuda/host/cuda_backend.cc', programs, [
    {
      name: 'cuda-memory-no-wait',
      breaks: 'memory goes back in a capture while work from before it still uses it',
      find: 'if (capture_) check(cudaEventSynchronize(before_capture_), "cudaEventSynchronize");',
      replace: 'if (capture_) return;',
    },
    {
      name: 'cuda-memory-captured-wait',
      breaks: 'a stream that is captured is waited for',
      find: 'if (capture_) check(cudaEventSynchronize(before_capture_), "cudaEventSynchronize");\n    else check(',
      replace: 'check(',
    },
  ]),
  ...inFile('csrc/cuda/host/cuda_backend.cc', 'test/cuda/capture-memory.test.ts', [
    {
      name: 'cuda-memory-captured-uploads',
      breaks: 'uploads of a graph that goes are let go of in a capture',
      find: 'if (capture_) kept_.push_back(std::move(block));\n      else pinned_',
      replace: 'pinned_',
    },
  ]),
];
