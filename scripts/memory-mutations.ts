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
    {
      name: 'cuda-memory-captured-uploads',
      breaks: 'uploads of a graph that goes are let go of in a capture',
      find: 'if (capture_) kept_.push_back(std::move(block));\n      else pinned_',
      replace: 'pinned_',
    },
    {
      name: 'cuda-memory-end-of-capture',
      breaks: 'a capture that failed is replayed',
      find: 'check(ended, "cudaStreamEndCapture");',
      replace: 'discard(ended, "");',
    },
  ]),
  ...inFile('csrc/cuda/host/pinned_memory.cc', programs, [
    {
      name: 'cuda-memory-pending-uploads',
      breaks: 'contents are overwritten before they are copied',
      find: 'block.pending_ = state == cudaErrorNotReady;',
      replace: 'block.pending_ = false;',
    },
  ]),
];
