import { faults, type Mutation } from '../mutation';

export const common: readonly Mutation[] = [
  ...faults('cuda/common/map.cuh', 'ops/layers/elementwise', [
    {
      name: 'cuda-map-last',
      breaks: 'the last element after the vectors is skipped',
      find: 'for (int64_t i = count / N * N + first; i < count; i += threads)',
      replace: 'for (int64_t i = count / N * N + first; i + 1 < count; i += threads)',
      caught: 'cuda-checked 1 elements, and 29 more',
    },
    {
      name: 'cuda-map-alignment',
      breaks: 'vectors are written to addresses that are not aligned',
      find: '((reinterpret_cast<uintptr_t>(out) % (kWidest * sizeof(Out)) == 0) && ... &&',
      replace: '((reinterpret_cast<uintptr_t>(out) % sizeof(Out) == 0) && ... &&',
      caught: 'cuda-checked views that start at elements 1 and 1, and what lies around them, and 2 more',
      reported: 'misaligned',
    },
  ]),

  ...faults('cuda/common/map.cuh', 'ops/after-error', [
    {
      name: 'cuda-map-after-error',
      breaks: 'outputs change after an error',
      find: 'if (record != nullptr && has_error(record)) return;',
      replace: 'if (record == nullptr && has_error(record)) return;',
      caught: 'after an error on cuda-checked fill changes nothing, and 2 more',
      reported: 'not device memory',
    },
  ]),

  ...faults('cuda/common/rows.cuh', 'ops/layers/elementwise', [
    {
      name: 'cuda-rows-last-column',
      breaks: 'the last columns of a row are skipped',
      find: 'for (int64_t column = first; column < columns; column += step)',
      replace: 'for (int64_t column = first; column + N < columns; column += step)',
      caught: 'cuda-checked 1 x 1 rows and columns, and 10 more',
      reported: 'a read of memory that was never written',
    },
  ]),

  ...faults('cuda/common/rows.cuh', 'ops/layers/rms-norm', [
    {
      name: 'cuda-rows-behind-the-last',
      breaks: 'the element after a row is read with it',
      find: 'values[i] = column + i < dim ? to_float(row[column + i]) : 0.0f;',
      replace: 'values[i] = column + i <= dim ? to_float(row[column + i]) : 0.0f;',
      caught: 'cuda-checked 1 rows of 1, and 30 more',
      reported: 'a read of memory that was never written',
    },
  ]),

  ...faults('cuda/common/exp.cuh', 'ops/layers/elementwise', [
    {
      name: 'cuda-exp-last-term',
      breaks: 'the series of exp lacks the last term',
      find: 'float p = 1.0f / 5040;',
      replace: 'float p = 0;',
      caught: 'cuda-checked 40001 elements, and 1 more',
    },
    {
      name: 'cuda-exp-reduction',
      breaks: 'the low part of ln 2 in exp is wrong in the fifth digit',
      find: 'n * part\n  r = fmaf(n, 2.12194440e-4f, r);',
      replace: 'n * part\n  r = fmaf(n, 2.12184440e-4f, r);',
      caught: 'cuda-checked 47 elements, and 2 more',
    },
  ]),

  ...faults('cuda/common/activations.cuh', 'ops/layers/elementwise', [
    {
      name: 'cuda-silu-slope-cancellation',
      breaks: '1 - sigmoid(x) is computed as a difference',
      find: 'return x < 0.0f ? Sigmoid{small, large} : Sigmoid{large, small};',
      replace: 'return x < 0.0f ? Sigmoid{small, 1.0f - small} : Sigmoid{large, 1.0f - large};',
      caught: 'cuda-checked 31 elements, and 4 more',
    },
  ]),

  ...faults('cuda/common/exp.cuh', 'ops/loss/linear-cross-entropy', [
    {
      name: 'cuda-exp-or-zero-term',
      breaks: "the polynomial of the loss's exponentials lacks the last term",
      find: 'float p = 0x1.6a23cep-10f;',
      replace: 'float p = 0;',
      caught: 'cuda-checked 31 rows, dim 47, vocabulary 15',
    },
  ]),

  ...faults('cuda/common/column_sums.cuh', 'ops/linear/linear', [
    {
      name: 'cuda-column-sums-barrier',
      breaks: 'partial sums of columns are read before they are written',
      find: '  __syncthreads();\n  const int64_t col = first + threadIdx.x;',
      replace: '  const int64_t col = first + threadIdx.x;',
      caught: 'cuda-checked 1 rows, 1 inputs, 1 outputs, and 33 more',
      reported: 'a read of memory that was never written',
    },
  ]),

  ...faults('cuda/common/reduce.cuh', 'ops/sampling/verify-tree', [
    {
      name: 'cuda-reduce-barrier',
      breaks: 'the values of other warps are read before they are written',
      find: 'if (lane == 0) shared[warp] = value;\n    __syncthreads();',
      replace: 'if (lane == 0) shared[warp] = value;',
      caught: 'on cuda-checked speculative output is plain output with {"temperature":0}, and 35 more',
      reported: 'a read of memory that was never written',
    },
    {
      name: 'cuda-reduce-release',
      breaks: 'the memory of a reduction is reused while other threads read it',
      find: 'neutral, combine);\n    __syncthreads();',
      replace: 'neutral, combine);',
      caught:
        'on cuda-checked speculative output is plain output with {"temperature":1,"topK":3}, and 2 more',
      reported: 'a race',
    },
    {
      name: 'cuda-last-block-release',
      breaks: 'the last block may arrive before the writes of the others',
      find: '    __threadfence();\n    is_last',
      replace: '    is_last',
      caught: 'on cuda-checked speculative output is plain output with {"temperature":0}, and 8 more',
      reported: 'a race',
    },
    {
      name: 'cuda-last-block-acquire',
      breaks: 'the last block may read values from before the writes of the others',
      find: '== last;\n    __threadfence();',
      replace: '== last;',
      caught: 'on cuda-checked speculative output is plain output with {"temperature":0}, and 8 more',
      reported: 'a race',
    },
    {
      name: 'cuda-last-block-barrier',
      breaks: 'a block arrives before all of its threads have written',
      find: 'FORETOKEN_SHARED(bool, is_last, );\n  __syncthreads();',
      replace: 'FORETOKEN_SHARED(bool, is_last, );',
      caught: 'on cuda-checked speculative output is plain output with {"temperature":0}, and 7 more',
      reported: 'a race',
    },
  ]),
];
