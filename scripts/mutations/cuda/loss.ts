import { faults, type Mutation } from '../mutation';

export const loss: readonly Mutation[] = [
  ...faults('cuda/loss/linear_cross_entropy_logits.cuh', 'ops/loss/linear-cross-entropy', [
    {
      name: 'cuda-loss-quad',
      breaks: 'the sum of exponentials is that of one lane instead of four',
      find: 'partials[i].sum = reduce_quad(partials[i].sum, Sum());',
      replace: ';',
      caught: 'cuda-checked 3 rows, dim 7, vocabulary 3, and 19 more',
    },
  ]),

  ...faults('cuda/loss/linear_cross_entropy_logits.cuh', 'ops/loss/linear-cross-entropy-extremes', [
    {
      name: 'cuda-loss-tie',
      breaks: 'of equal logits in one strip, the last is the largest',
      find: 'for (int j = Fragment::kCols - 1; j >= 0; --j) {',
      replace: 'for (int j = 0; j < Fragment::kCols; ++j) {',
      caught: 'cuda-checked logits beyond the range of float16, and of each other, and 7 more',
    },
  ]),

  ...faults('cuda/loss/linear_cross_entropy.cu', 'ops/loss/linear-cross-entropy-long-sums', [
    {
      name: 'cuda-loss-one-accumulator',
      breaks: 'a slice of the vocabulary has one accumulator, regardless of its length',
      find: 'return {slices.count, std::min(slices.depth, kPiece)};',
      replace: 'return slices;',
      caught: 'the gradient of hidden states, equal rows of 32768 logits cuda-checked',
    },
    {
      name: 'cuda-loss-first-piece',
      breaks: 'all pieces of the vocabulary are multiplied by the weights of the first piece',
      find: 'gemm.b.data = advance(gemm.b, first * gemm.b.stride);',
      replace: '',
      caught: 'the gradient of hidden states, random rows of 32768 logits cuda-checked',
    },
  ]),

  ...faults('cuda/loss/linear_cross_entropy_gradient.cu', 'ops/loss/linear-cross-entropy-dtypes', [
    {
      name: 'cuda-loss-in-place',
      breaks: 'gradients of half the size overwrite logits that other threads have not read',
      find: 'if constexpr (sizeof(T) < sizeof(float)) __syncthreads();',
      replace: '',
      caught: 'cuda-checked bfloat16 hidden states, bfloat16 weight, and 10 more',
      reported: 'a race',
    },
    {
      name: 'cuda-loss-zeros',
      breaks: 'the padding rows of tiles are not cleared',
      find: 'if (i < end_of_zeros(size)) clear_row',
      replace: 'if (i < 0) clear_row',
      caught: 'cuda-checked bfloat16: 1 rows, dim 1, vocabulary 1, and 6 more',
      reported: 'a read of memory that was never written',
    },
  ]),

  ...faults('cuda/loss/linear_cross_entropy_exponentials.cu', 'ops/loss/linear-cross-entropy-exponentials', [
    {
      name: 'cuda-exponentials-factor',
      breaks: 'hidden states are not scaled by the factors of their rows',
      find: 'values[k] *= factor;\n    store(scaled + j, values);',
      replace: 'values[k] *= 1;\n    store(scaled + j, values);',
      caught: 'cuda-checked 3 rows, dim 8, vocabulary 64, plain, and 30 more',
    },
    {
      name: 'cuda-exponentials-move',
      breaks: 'exponentials of strips far from the target stay relative to their own largest logit',
      find: 'values[k] *= factor;\n    store(own + j, values);',
      replace: 'values[k] *= 1;\n    store(own + j, values);',
      caught: 'cuda-checked strips far below the others, and 1 more',
    },
    {
      name: 'cuda-exponentials-zeros',
      breaks: 'the exponentials of the padding rows of tiles are not cleared',
      find: 'if (i >= end_of_zeros(size)) return;',
      replace: 'if (i >= size) return;',
      caught: 'cuda-checked 3 rows, dim 8, vocabulary 64, plain, and 31 more',
      reported: 'a read of memory that was never written',
    },
  ]),

  ...faults('cuda/loss/linear_cross_entropy.cuh', 'ops/loss/linear-cross-entropy-exponentials', [
    {
      name: 'cuda-exponentials-far',
      breaks: 'exponentials are relative to the target even far above it',
      find: 'distance < kFarAbove ? base : largest',
      replace: 'distance < 1e9f ? base : largest',
      caught: 'cuda-checked strips far below the others, and 1 more',
    },
  ]),

  ...faults('cuda/loss/linear_cross_entropy_epilogues.cuh', 'ops/loss/linear-cross-entropy-exponentials', [
    {
      name: 'cuda-add-engine-reads',
      breaks: 'sums overwrite the sums that the copy engine still reads',
      find: 'ptx::bulk_wait_read<kBoxes - 1>()',
      replace: 'ptx::bulk_wait_read<kBoxes>()',
      caught: 'cuda-checked 5 rows, dim 8, vocabulary 12301, plain, and 8 more',
      reported: 'a race',
    },
    {
      name: 'cuda-add-engine-fence',
      breaks: 'the copy engine starts before it may see the sums',
      find: '      ptx::fence_proxy_async();\n      __syncwarp();',
      replace: '      __syncwarp();',
      caught: 'cuda-checked 3 rows, dim 8, vocabulary 64, plain, and 31 more',
      reported: 'a race',
    },
    {
      name: 'cuda-add-engine-swizzle',
      breaks: 'sums are stored in another order than the copy engine reads',
      find: '(col / 4 ^ row % 8)',
      replace: '(col / 4 ^ row / 2 % 8)',
      caught: 'cuda-checked 3 rows, dim 8, vocabulary 64, plain, and 30 more',
    },
    {
      name: 'cuda-add-engine-end',
      breaks: 'a block ends while the copy engine reads its shared memory',
      find: 'if (threadIdx.x % kWarp == 0) ptx::bulk_wait_read<0>();',
      replace: '',
      caught: 'cuda-checked 3 rows, dim 8, vocabulary 64, plain, and 31 more',
      reported: 'the thread exits with bulk copies that may still read shared memory',
    },
  ]),

  ...faults('cuda/loss/linear_cross_entropy_rows.cu', 'ops/loss/linear-cross-entropy-invariance', [
    {
      name: 'cuda-loss-next-chunk',
      breaks: 'the last row of a chunk is also the first of the next',
      find: 'next_row = row + 1;',
      replace: 'next_row = row;',
      caught: 'chunks of bfloat16 states on cuda-checked, and 2 more',
    },
  ]),

  ...faults('cuda/loss/linear_cross_entropy_rows.cu', 'ops/linear/wide-products', [
    {
      name: 'cuda-loss-select-barrier',
      breaks: 'counts are overwritten while other warps add them up',
      find: 'next_row = row + 1;\n    }\n    __syncthreads();',
      replace: 'next_row = row + 1;\n    }',
      caught: 'cuda-checked loss and gradients, ranks, and 1 more',
      reported: 'a race',
    },
  ]),

  ...faults('cuda/loss/linear_cross_entropy_statistics.cu', 'ops/linear/wide-products', [
    {
      name: 'cuda-loss-totals-barrier',
      breaks: 'losses are overwritten while they are being added',
      find: '        head_loss += losses[j];\n      }\n    }\n    __syncthreads();',
      replace: '        head_loss += losses[j];\n      }\n    }',
      caught: 'cuda-checked loss and gradients, ranks, and 1 more',
      reported: 'a race',
    },
  ]),
];
