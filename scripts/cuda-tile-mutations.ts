// What `npm run mutate -- cuda` breaks in the kernels for GPUs that share tiles between threads: matrix products, loss,
// attention, selection, draws. Most are slips with barriers, stages, waits and fragments, which the emulator must notice.
import { faults, type Mutation } from './mutations';

const wide = 'linear/wide-products';

const products: readonly Mutation[] = [
  ...faults('cuda/linear/gemm_tensor.cuh', 'linear/linear', [
    [
      'cuda-tensor-barrier',
      'tiles are read before all threads have brought their part',
      '      __syncthreads();\n      copy(free);',
      '      copy(free);',
    ],
    [
      'cuda-tensor-wait',
      'one more group of copies is let go than the tiles need',
      'ptx::cp_async_wait<kStages - 2>();',
      'ptx::cp_async_wait<kStages - 1>();',
    ],
    [
      'cuda-tensor-early-release',
      'the next tiles are copied over those that are being multiplied',
      'copy(free);',
      'copy(stage);',
    ],
    [
      'cuda-tensor-fragment',
      'fragments of b are paired with the wrong half of k',
      '{b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]}',
      '{b[j / 2][j % 2], b[j / 2][j % 2 + 2]}',
    ],
    [
      'cuda-tensor-last-k',
      'the last tile takes in what lies behind k',
      'const int most = k_left < kDepth ? k_left : kDepth;',
      'const int most = kDepth;',
    ],
  ]),
  ...faults('cuda/linear/gemm_hopper.cuh', wide, [
    [
      'cuda-hopper-parity',
      'the copies wait for the wrong phase of an empty stage',
      'ptx::mbarrier_wait_cluster(&memory.empty[ring.stage], ring.parity ^ 1);',
      'ptx::mbarrier_wait_cluster(&memory.empty[ring.stage], ring.parity);',
    ],
    [
      'cuda-hopper-early-release',
      'a stage is given back while products still read it',
      'ptx::wgmma_wait<1>(sums);\n      release(memory, before);',
      'release(memory, before);\n      ptx::wgmma_wait<1>(sums);',
    ],
    [
      'cuda-hopper-last-wait',
      'sums are read while the last products add to them',
      'ptx::wgmma_wait<0>(sums);\n    release(memory, ring.stage);',
      'ptx::wgmma_wait<1>(sums);\n    release(memory, ring.stage);',
    ],
    [
      'cuda-hopper-turns',
      'all strips get the sums of the first',
      'sums[i] = sums[i + kStrip / 2];',
      'sums[i] = sums[i];',
    ],
    [
      'cuda-hopper-own-release',
      'a stage is given back to the own block only',
      'if (lane < kCluster) ptx::mbarrier_arrive_at(&memory.empty[stage], lane);',
      'if (lane < kCluster) ptx::mbarrier_arrive(&memory.empty[stage]);',
    ],
    [
      'cuda-hopper-bytes',
      'a stage counts as full when a has come',
      'ptx::mbarrier_arrive_expect(full, sizeof stage);',
      'ptx::mbarrier_arrive_expect(full, sizeof stage.a);',
    ],
    [
      'cuda-hopper-leave',
      'a block leaves while others of its cluster still write to it',
      '  // Nobody leaves before the others of the cluster have written and arrived here for the last time.\n  __syncwarp();\n  ptx::cluster_sync();\n',
      '',
    ],
    [
      'cuda-hopper-fence',
      'the copy engine may not see the barriers yet',
      '      ptx::fence_mbarrier_init();\n',
      '',
    ],
  ]),
  ...faults('cuda/linear/gemm_hopper_tiles.cuh', wide, [
    [
      'cuda-hopper-fragment',
      'steps of k begin at the wrong row of a transposed tile',
      '(kInnerMajor ? k : k * kDepth)',
      '(kInnerMajor ? k : k / 2 * kDepth)',
    ],
  ]),
  ...faults('cuda/linear/gemm_skinny.cuh', 'linear/linear', [
    [
      'cuda-skinny-barrier',
      'sums of other warps are added before they are there',
      '    __syncthreads();\n#pragma unroll\n    for (int p = slab',
      '#pragma unroll\n    for (int p = slab',
    ],
    [
      'cuda-skinny-slab-barrier',
      'sums of the next slab are written over those that are being added',
      'if (slab > 0) __syncthreads();',
      '',
    ],
    [
      'cuda-skinny-last-k',
      'the element behind k is read with the last eight',
      'if (k + e < k_end) octet',
      'if (k + e <= k_end) octet',
    ],
  ]),
  ...faults('cuda/linear/gemm_fma.cuh', 'linear/linear', [
    [
      'cuda-fma-barrier',
      'tiles are read before all threads have stored their part',
      '      __syncthreads();\n      fetch(k + kDepth);',
      '      fetch(k + kDepth);',
    ],
    [
      'cuda-fma-early-release',
      'there is one stage, and the next tile is stored while this one is read',
      'stage = stage == stages ? stages + kStageElements : stages;',
      'stage = stages;',
    ],
  ]),
  ...faults('cuda/linear/gemm_split.cuh', 'linear/linear', [
    [
      'cuda-split-last-slice',
      'the last slice is not added',
      'for (int64_t slice = 0; slice < slices; ++slice) {',
      'for (int64_t slice = 0; slice + 1 < slices; ++slice) {',
    ],
  ]),
  ...faults('cuda/common/column_sums.cuh', 'linear/linear', [
    [
      'cuda-column-sums-barrier',
      'parts of columns are added before they are there',
      '  __syncthreads();\n  const int64_t col = first + threadIdx.x;',
      '  const int64_t col = first + threadIdx.x;',
    ],
  ]),
  ...faults('cuda/common/reduce.cuh', 'sampling/verify-tree', [
    [
      'cuda-reduce-barrier',
      'what other warps have is read before it is there',
      'if (lane == 0) shared[warp] = value;\n    __syncthreads();',
      'if (lane == 0) shared[warp] = value;',
    ],
    [
      'cuda-reduce-release',
      'the memory of a reduction is used again while others read it',
      'neutral, combine);\n    __syncthreads();',
      'neutral, combine);',
    ],
    [
      'cuda-last-block-release',
      'the last block may come before what the others wrote',
      '    __threadfence();\n    is_last',
      '    is_last',
    ],
    [
      'cuda-last-block-acquire',
      'the last block may read what was there before the others wrote',
      '== last;\n    __threadfence();',
      '== last;',
    ],
    [
      'cuda-last-block-barrier',
      'a block comes before all of its threads have written',
      'FORETOKEN_SHARED(bool, is_last, );\n  __syncthreads();',
      'FORETOKEN_SHARED(bool, is_last, );',
    ],
  ]),
];

const losses: readonly Mutation[] = [
  ...faults('cuda/loss/linear_cross_entropy_logits.cuh', 'loss/linear-cross-entropy', [
    [
      'cuda-loss-quad',
      'the sum of exponentials is that of one lane of four',
      'partials[i].sum = reduce_quad(partials[i].sum, Sum());',
      ';',
    ],
    [
      'cuda-loss-tie',
      'of equal logits in one strip the last is the largest',
      'for (int j = Fragment::kCols - 1; j >= 0; --j) {',
      'for (int j = 0; j < Fragment::kCols; ++j) {',
      'loss/linear-cross-entropy-extremes',
    ],
  ]),
  ...faults('cuda/loss/linear_cross_entropy.cu', 'loss/linear-cross-entropy-long-sums', [
    [
      'cuda-loss-one-accumulator',
      'a slice of the vocabulary has one accumulator, however long it is',
      'return {slices.count, std::min(slices.depth, kPiece)};',
      'return slices;',
    ],
    [
      'cuda-loss-first-piece',
      'all pieces of the vocabulary are multiplied by the weights of the first',
      'gemm.b.data = advance(gemm.b, first * gemm.b.stride);',
      '',
    ],
  ]),
  ...faults('cuda/loss/linear_cross_entropy_gradient.cu', 'loss/linear-cross-entropy-dtypes', [
    [
      'cuda-loss-in-place',
      'gradients of half the size are written over logits that others have not read',
      'if constexpr (sizeof(T) < sizeof(float)) __syncthreads();',
      '',
    ],
    [
      'cuda-loss-zeros',
      'rows that tiles bring behind the last are left as they were',
      'if (i < end_of_zeros(size)) clear_row',
      'if (i < 0) clear_row',
    ],
  ]),
  ...faults('cuda/loss/linear_cross_entropy_exponentials.cu', 'loss/linear-cross-entropy-exponentials', [
    [
      'cuda-exponentials-factor',
      'hidden states are not scaled with the factors of their rows',
      'values[k] *= factor;\n    store(scaled + j, values);',
      'values[k] *= 1;\n    store(scaled + j, values);',
    ],
    [
      'cuda-exponentials-move',
      'exponentials of strips far from the target stay relative to their own largest logit',
      'values[k] *= factor;\n    store(own + j, values);',
      'values[k] *= 1;\n    store(own + j, values);',
    ],
    [
      'cuda-exponentials-zeros',
      'what tiles bring behind the last row is scaled with what was there',
      'if (i >= end_of_zeros(size)) return;',
      'if (i >= size) return;',
    ],
  ]),
  ...faults('cuda/loss/linear_cross_entropy.cuh', 'loss/linear-cross-entropy-exponentials', [
    [
      'cuda-exponentials-far',
      'exponentials are relative to the target however far above it they are',
      'distance < kFarAbove ? base : largest',
      'distance < 1e9f ? base : largest',
    ],
  ]),
  ...faults('cuda/loss/linear_cross_entropy_epilogues.cuh', 'loss/linear-cross-entropy-exponentials', [
    [
      'cuda-add-engine-reads',
      'sums are laid down over those that the copy engine still reads',
      'ptx::bulk_wait_read<kBoxes - 1>()',
      'ptx::bulk_wait_read<kBoxes>()',
    ],
    [
      'cuda-add-engine-fence',
      'the copy engine is told of sums that it may not see yet',
      '      ptx::fence_proxy_async();\n      __syncwarp();',
      '      __syncwarp();',
    ],
    [
      'cuda-add-engine-swizzle',
      'sums are laid down in another order than the copy engine reads them in',
      '(col / 4 ^ row % 8)',
      '(col / 4 ^ row / 2 % 8)',
    ],
    [
      'cuda-add-engine-end',
      'a block ends while the copy engine reads its shared memory',
      'if (threadIdx.x % kWarp == 0) ptx::bulk_wait_read<0>();',
      '',
    ],
  ]),
  ...faults('cuda/loss/linear_cross_entropy_rows.cu', wide, [
    [
      'cuda-loss-next-chunk',
      'the last row of a chunk is the first of the next, too',
      'next_row = row + 1;',
      'next_row = row;',
      'loss/linear-cross-entropy-invariance',
    ],
    [
      'cuda-loss-select-barrier',
      'counts are written over while other warps add them up',
      'next_row = row + 1;\n    }\n    __syncthreads();',
      'next_row = row + 1;\n    }',
    ],
  ]),
  ...faults('cuda/loss/linear_cross_entropy_statistics.cu', wide, [
    [
      'cuda-loss-totals-barrier',
      'losses are written over while they are being added',
      '        head_loss += losses[j];\n      }\n    }\n    __syncthreads();',
      '        head_loss += losses[j];\n      }\n    }',
    ],
  ]),
];

const attention: readonly Mutation[] = [
  ...faults('cuda/attention/attention_tiles.cuh', 'attention/attention', [
    [
      'cuda-attention-fragment',
      'fragments of keys have rows and columns exchanged',
      'b.at(8 * n + lane / 16 * 8 + lane % 8, k + lane / 8 % 2 * 8)',
      'b.at(8 * n + lane / 8 % 2 * 8 + lane % 8, k + lane / 16 * 8)',
    ],
  ]),
  ...faults('cuda/attention/attention.cu', 'attention/attention', [
    [
      'cuda-attention-wait',
      'values are read before they have come',
      '    ptx::cp_async_wait<0>();\n    __syncthreads();\n    if (key + kKeys < end)',
      '    __syncthreads();\n    if (key + kKeys < end)',
    ],
    [
      'cuda-attention-release',
      'the next keys come while others still multiply with these',
      '    ptx::cp_async_wait<0>();\n    __syncthreads();\n    if (key + kKeys < end)',
      '    ptx::cp_async_wait<0>();\n    if (key + kKeys < end)',
    ],
    [
      'cuda-attention-causal',
      'a row sees the one behind it',
      'key + column <= first_row + row;',
      'key + column <= first_row + row + 1;',
    ],
  ]),
  ...faults('cuda/attention/attention_grad_queries.cu', 'attention/attention', [
    [
      'cuda-attention-grad-queries-stage',
      'the next keys are copied over those that are being multiplied',
      'load_keys(key + kKeys, stage ^ 1);',
      'load_keys(key + kKeys, stage);',
    ],
    [
      'cuda-attention-grad-queries-release',
      'the next keys come while others still multiply with those before',
      'add_weighted(sums, grads, keys);\n    __syncthreads();',
      'add_weighted(sums, grads, keys);',
    ],
  ]),
  ...faults('cuda/attention/attention_grad_keys.cu', 'attention/attention', [
    [
      'cuda-attention-grad-keys-wait',
      'queries are read while they are still coming',
      'ptx::cp_async_wait<1>();',
      'ptx::cp_async_wait<2>();',
    ],
  ]),
  ...faults('cuda/attention/tree_attention.cu', 'attention/tree-attention', [
    [
      'cuda-tree-attention-slots-barrier',
      'slots are read before other lanes have found them',
      'slots + r * kChunk);\n    }\n    __syncwarp();',
      'slots + r * kChunk);\n    }',
    ],
    [
      'cuda-tree-attention-shares',
      'warps that share a unit leave out rows',
      '(kUnits - 1 - unit) / units + 1}',
      '(kUnits - 1 - unit) / units + 2}',
    ],
    [
      'cuda-tree-attention-merge-barrier',
      'sums of units are merged before they are there',
      'unit.weigh(passes, dim, shared_.sums[share.unit]);\n        __syncthreads();',
      'unit.weigh(passes, dim, shared_.sums[share.unit]);',
    ],
    [
      'cuda-tree-attention-divergent-barrier',
      'only threads with a query come to the barrier',
      '      __syncthreads();\n      if (thread_ < tile_.count) merge_softmax(chunk, first);',
      '      if (thread_ < tile_.count) __syncthreads();\n      if (thread_ < tile_.count) merge_softmax(chunk, first);',
    ],
  ]),
  ...faults('cuda/attention/kv_cache.cu', 'attention/kv-cache', [
    [
      'cuda-kv-compact-last-row',
      'the last accepted row is not moved',
      'for (int64_t first = in_place; first < count; first += kTogether)',
      'for (int64_t first = in_place; first + 1 < count; first += kTogether)',
    ],
    [
      'cuda-kv-append-slot',
      'rows of later sequences are written behind the place of the first',
      'tree.lengths[sequence] + row - tree.row_offsets[sequence];',
      'tree.lengths[sequence] + row;',
    ],
  ]),
];

const nothingToDraw = 'sampling/nothing-to-draw';

const draws: readonly Mutation[] = [
  ...faults('cuda/sampling/sampling.cu', nothingToDraw, [
    [
      'cuda-sampling-nothing-to-draw',
      'a row without a token to draw is not reported',
      'if (token == kNoToken) reporter',
      'if (token == kNoToken && row < 0) reporter',
    ],
  ]),
  ...faults('cuda/sampling/select.cuh', 'sampling/top-k', [
    [
      'cuda-select-bins-barrier',
      'weights are added to bins that others have yet to clear',
      'scratch.bins[i] = 0;\n  __syncthreads();',
      'scratch.bins[i] = 0;',
    ],
    [
      'cuda-select-divergent-barrier',
      'only the first thread comes to the barrier',
      'if (threadIdx.x == 0) *size = 0;\n  __syncthreads();',
      'if (threadIdx.x == 0) {\n    *size = 0;\n    __syncthreads();\n  }',
    ],
    [
      'cuda-select-before',
      'the weight above a bin is that of the bin, too',
      'scratch.before = is_first ? before : before + first;',
      'scratch.before = before + first;',
    ],
  ]),
  ...faults('cuda/sampling/top_k.cu', 'sampling/top-k', [
    [
      'cuda-top-k-sort-barrier',
      'pairs are compared before the step before is over',
      '      __syncthreads();\n      for (int64_t pair',
      '      for (int64_t pair',
    ],
  ]),
  ...faults('cuda/sampling/fused_draw.cuh', 'sampling/fused-draw', [
    [
      'cuda-fused-draw-quad',
      'the best of a strip is that of one lane of four',
      'best = reduce_quad(best, Max());',
      '',
    ],
  ]),
  ...faults('cuda/sampling/verify_tree.cu', 'sampling/verify-tree', [
    [
      'cuda-verify-tree-history-barrier',
      'penalties are applied before the token before is counted',
      'add_to_output(seen, args.tokens[row]);\n        __syncthreads();',
      'add_to_output(seen, args.tokens[row]);',
    ],
    [
      'cuda-verify-tree-position',
      'a draw has the noise of the position before',
      'path_stride) + 1);',
      'path_stride));',
    ],
    [
      'cuda-verify-tree-nothing-to-draw',
      'a root without a token to draw is not reported',
      'if (row == root && threadIdx.x == 0) reporter',
      'if (row < 0 && threadIdx.x == 0) reporter',
      nothingToDraw,
    ],
    [
      'cuda-verify-tree-nothing-below-root',
      'a node without a token to draw is reported, although no text may come there',
      'if (row == root && threadIdx.x == 0) reporter',
      'if (threadIdx.x == 0) reporter',
      nothingToDraw,
    ],
  ]),
];

export const cudaTileMutations = [...products, ...losses, ...attention, ...draws];
