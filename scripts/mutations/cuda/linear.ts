import { faults, type Mutation } from '../mutation';

export const linear: readonly Mutation[] = [
  ...faults('cuda/linear/gemm_tensor.cuh', 'ops/linear/linear', [
    {
      name: 'cuda-tensor-barrier',
      breaks: 'tiles are read before all threads have copied their part',
      find: '      __syncthreads();\n      copy(free);',
      replace: '      copy(free);',
      caught: 'bfloat16 on cuda-checked 1 rows, 1 inputs, 1 outputs, and 14 more',
      reported: 'a read of memory that was never written',
    },
    {
      name: 'cuda-tensor-wait',
      breaks: 'the wait leaves one group of copies too many pending',
      find: 'ptx::cp_async_wait<kStages - 2>();',
      replace: 'ptx::cp_async_wait<kStages - 1>();',
      caught: 'bfloat16 on cuda-checked 12 rows, 16 inputs, 32 outputs, and 6 more',
      reported: 'an access to what is still being copied',
    },
    {
      name: 'cuda-tensor-early-release',
      breaks: 'the next tiles are copied over the tiles in use',
      find: 'copy(free);',
      replace: 'copy(stage);',
      caught: 'bfloat16 on cuda-checked 13 rows, 33 inputs, 65 outputs, and 8 more',
      reported: 'a race',
    },
    {
      name: 'cuda-tensor-fragment',
      breaks: 'fragments of b are paired with the wrong half of k',
      find: '{b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]}',
      replace: '{b[j / 2][j % 2], b[j / 2][j % 2 + 2]}',
      caught: 'bfloat16 on cuda-checked 12 rows, 16 inputs, 32 outputs, and 11 more',
    },
    {
      name: 'cuda-tensor-last-k',
      breaks: 'the last tile includes elements past k',
      find: 'const int most = k_left < kDepth ? k_left : kDepth;',
      replace: 'const int most = kDepth;',
      caught: 'bfloat16 on cuda-checked 1 rows, 1 inputs, 1 outputs, and 14 more',
      reported: 'a read of memory that was never written',
    },
  ]),

  ...faults('cuda/linear/gemm_hopper.cuh', 'ops/linear/wide-products', [
    {
      name: 'cuda-hopper-parity',
      breaks: 'the copies wait for the wrong phase of an empty stage',
      find: 'ptx::mbarrier_wait_cluster(&memory.empty[ring.stage], ring.parity ^ 1);',
      replace: 'ptx::mbarrier_wait_cluster(&memory.empty[ring.stage], ring.parity);',
      caught: 'cuda-checked y, and 4 more',
      reported: 'a deadlock',
    },
    {
      name: 'cuda-hopper-early-release',
      breaks: 'a stage is released while products still read it',
      find: 'ptx::wgmma_wait<1>(sums);\n      release(memory, before);',
      replace: 'release(memory, before);\n      ptx::wgmma_wait<1>(sums);',
      caught: 'cuda-checked y, and 4 more',
      reported: 'a race',
    },
    {
      name: 'cuda-hopper-last-wait',
      breaks: 'sums are read while the last products add to them',
      find: 'ptx::wgmma_wait<0>(sums);\n    release(memory, ring.stage);',
      replace: 'ptx::wgmma_wait<1>(sums);\n    release(memory, ring.stage);',
      caught: 'cuda-checked y, and 4 more',
      reported: 'a race',
    },
    {
      name: 'cuda-hopper-roll-strips',
      breaks: 'all strips get the sums of the first strip',
      find: 'sums[i] = sums[i + kStrip / 2];',
      replace: 'sums[i] = sums[i];',
      caught: 'cuda-checked loss and gradients, ranks, and 1 more',
    },
    {
      name: 'cuda-hopper-own-release',
      breaks: "a stage is released only to the block's own copies",
      find: 'if (lane < kCluster) ptx::mbarrier_arrive_at(&memory.empty[stage], lane);',
      replace: 'if (lane < kCluster) ptx::mbarrier_arrive(&memory.empty[stage]);',
      caught: 'cuda-checked y, and 4 more',
      reported: 'a race',
    },
    {
      name: 'cuda-hopper-bytes',
      breaks: 'a stage counts as full after a alone is copied',
      find: 'ptx::mbarrier_arrive_expect(full, sizeof stage);',
      replace: 'ptx::mbarrier_arrive_expect(full, sizeof stage.a);',
      caught: 'cuda-checked y, and 4 more',
      reported: 'a race',
    },
    {
      name: 'cuda-hopper-leave',
      breaks: 'a block exits while other blocks of its cluster still write to it',
      find: '  // No block exits while others of its cluster may still write to its memory or arrive at its barriers.\n  __syncwarp();\n  ptx::cluster_sync();\n',
      replace: '',
      caught: 'cuda-checked y, and 4 more',
      reported: 'an access to a block that has exited',
    },
    {
      name: 'cuda-hopper-fence',
      breaks: 'the copy engine may not see the barriers yet',
      find: '      ptx::fence_mbarrier_init();\n',
      replace: '',
      caught: 'cuda-checked y, and 4 more',
      reported: 'a barrier that the copy engine may not see',
    },
  ]),

  ...faults('cuda/linear/gemm_hopper_tiles.cuh', 'ops/linear/wide-products', [
    {
      name: 'cuda-hopper-fragment',
      breaks: 'steps of k begin at the wrong row of a transposed tile',
      find: '(kInnerMajor ? k : k * kDepth)',
      replace: '(kInnerMajor ? k : k / 2 * kDepth)',
      caught: 'cuda-checked the gradient of x, and 3 more',
    },
  ]),

  ...faults('cuda/linear/gemm_skinny.cuh', 'ops/linear/linear', [
    {
      name: 'cuda-skinny-barrier',
      breaks: 'sums of other warps are read before they are written',
      find: '    __syncthreads();\n#pragma unroll\n    for (int p = slab',
      replace: '#pragma unroll\n    for (int p = slab',
      caught: 'bfloat16 on cuda-checked 1 rows, 1 inputs, 1 outputs, and 13 more',
      reported: 'a read of memory that was never written',
    },
    {
      name: 'cuda-skinny-slab-barrier',
      breaks: 'sums of the next slab overwrite sums that are still being added',
      find: 'if (slab > 0) __syncthreads();',
      replace: '',
      caught: 'bfloat16 on cuda-checked 20 rows, 24 inputs, 6150 outputs, and 1 more',
      reported: 'a race',
    },
    {
      name: 'cuda-skinny-last-k',
      breaks: 'the element past k is read with the last eight',
      find: 'if (k + e < k_end) octet',
      replace: 'if (k + e <= k_end) octet',
      caught: 'bfloat16 on cuda-checked 1 rows, 1 inputs, 1 outputs, and 6 more',
      reported: 'a read of memory that was never written',
    },
  ]),

  ...faults('cuda/linear/gemm_fma.cuh', 'ops/linear/linear', [
    {
      name: 'cuda-fma-barrier',
      breaks: 'tiles are read before all threads have stored their part',
      find: '      __syncthreads();\n      fetch(k + kDepth);',
      replace: '      fetch(k + kDepth);',
      caught: 'cuda-checked 1 rows, 1 inputs, 1 outputs, and 23 more',
      reported: 'a read of memory that was never written',
    },
    {
      name: 'cuda-fma-early-release',
      breaks: 'there is only one stage, so the next tile overwrites the tile in use',
      find: 'stage = stage == stages ? stages + kStageElements : stages;',
      replace: 'stage = stages;',
      caught: 'cuda-checked 12 rows, 16 inputs, 32 outputs, and 19 more',
      reported: 'a race',
    },
  ]),

  ...faults('cuda/linear/gemm_split.cuh', 'ops/linear/linear', [
    {
      name: 'cuda-split-last-slice',
      breaks: 'the last slice is not added',
      find: 'for (int64_t slice = 0; slice < slices; ++slice) {',
      replace: 'for (int64_t slice = 0; slice + 1 < slices; ++slice) {',
      caught: 'cuda-checked 1030 rows, 3 inputs, 2 outputs, and 3 more',
    },
  ]),
];
