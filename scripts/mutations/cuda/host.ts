import { faults, type Mutation } from '../mutation';

export const host: readonly Mutation[] = [
  ...faults('cuda/host/cuda_backend.cc', 'cuda/memory-programs', [
    {
      name: 'cuda-memory-no-wait',
      breaks: 'memory is freed during a capture while earlier work still uses it',
      find: 'if (capture_) check(cudaEventSynchronize(before_capture_), "cudaEventSynchronize");',
      replace: 'if (capture_) return;',
      caught: 'on cuda-checked',
      reported: 'a copy of freed memory',
    },
    {
      name: 'cuda-memory-captured-wait',
      breaks: 'a captured stream is waited for',
      find: 'if (capture_) check(cudaEventSynchronize(before_capture_), "cudaEventSynchronize");\n    else check(',
      replace: 'check(',
      caught: 'on cuda-checked',
    },
  ]),

  ...faults('cuda/host/cuda_backend.cc', 'cuda/capture-memory', [
    {
      name: 'cuda-memory-captured-uploads',
      breaks: 'uploads of a graph that is destroyed during a capture are freed at once',
      find: 'if (capture_) kept_.push_back(std::move(block));\n      else pinned_',
      replace: 'pinned_',
      caught:
        'on the emulated GPU, checked uploads of a capture that is disposed during another capture, while it may still run',
    },
  ]),
];
