import { faults, type Mutation } from '../mutation';

export const attention: readonly Mutation[] = [
  ...faults('cuda/attention/attention_tiles.cuh', 'ops/attention/attention', [
    {
      name: 'cuda-attention-fragment',
      breaks: 'fragments of keys have rows and columns exchanged',
      find: 'b.at(8 * n + lane / 16 * 8 + lane % 8, k + lane / 8 % 2 * 8)',
      replace: 'b.at(8 * n + lane / 8 % 2 * 8 + lane % 8, k + lane / 16 * 8)',
      caught: 'attention on cuda-checked in bfloat16 batch 2, length 3, 2/1 heads of 12, and 35 more',
    },
  ]),

  ...faults('cuda/attention/attention.cu', 'ops/attention/attention', [
    {
      name: 'cuda-attention-wait',
      breaks: 'values are read before they are copied',
      find: '    ptx::cp_async_wait<0>();\n    __syncthreads();\n    if (key + kKeys < end)',
      replace: '    __syncthreads();\n    if (key + kKeys < end)',
      caught: 'attention on cuda-checked in float32 batch 2, length 1, 1/1 heads of 8, and 45 more',
      reported: 'an access to what is still being copied',
    },
    {
      name: 'cuda-attention-release',
      breaks: 'the next keys are copied while other warps still multiply by the current keys',
      find: '    ptx::cp_async_wait<0>();\n    __syncthreads();\n    if (key + kKeys < end)',
      replace: '    ptx::cp_async_wait<0>();\n    if (key + kKeys < end)',
      caught: 'attention on cuda-checked in float32 batch 2, length 1, 1/1 heads of 8, and 92 more',
      reported: 'a read of memory that was never written',
    },
    {
      name: 'cuda-attention-causal',
      breaks: 'a row attends to the next row',
      find: 'key + column <= first_row + row;',
      replace: 'key + column <= first_row + row + 1;',
      caught: 'attention on cuda-checked in float32 batch 2, length 1, 1/1 heads of 8, and 80 more',
    },
  ]),

  ...faults('cuda/attention/attention_grad_queries.cu', 'ops/attention/attention', [
    {
      name: 'cuda-attention-grad-queries-stage',
      breaks: 'the next keys are copied over the keys in use',
      find: 'load_keys(key + kKeys, stage ^ 1);',
      replace: 'load_keys(key + kKeys, stage);',
      caught: 'attention on cuda-checked in float32 batch 2, length 47, 4/4 heads of 64, and 72 more',
      reported: 'an access to what is still being copied',
    },
    {
      name: 'cuda-attention-grad-queries-release',
      breaks: 'the next keys are copied while other warps still multiply by the previous keys',
      find: 'add_weighted(sums, grads, keys);\n    __syncthreads();',
      replace: 'add_weighted(sums, grads, keys);',
      caught: 'attention on cuda-checked in float32 batch 1, length 65, 4/1 heads of 80, and 56 more',
      reported: 'a race',
    },
  ]),

  ...faults('cuda/attention/attention_grad_keys.cu', 'ops/attention/attention', [
    {
      name: 'cuda-attention-grad-keys-wait',
      breaks: 'queries are read before they are copied',
      find: 'ptx::cp_async_wait<1>();',
      replace: 'ptx::cp_async_wait<2>();',
      caught: 'attention on cuda-checked in float32 batch 2, length 1, 1/1 heads of 8, and 87 more',
      reported: 'an access to what is still being copied',
    },
  ]),

  ...faults('cuda/attention/attention.cuh', 'ops/attention/attention', [
    {
      name: 'cuda-attention-window',
      breaks: 'a window has one row more',
      find: 'row - window + 1',
      replace: 'row - window',
      caught: 'attention on cuda-checked in float32 sees the last 1 rows, and 15 more',
    },
  ]),

  ...faults('cuda/attention/tree_attention.cu', 'ops/attention/tree-attention', [
    {
      name: 'cuda-tree-attention-slots-barrier',
      breaks: 'slots are read before other lanes have found them',
      find: 'slots + r * kChunk);\n    }\n    __syncwarp();',
      replace: 'slots + r * kChunk);\n    }',
      caught:
        'treeAttention on cuda-checked in float32 of 0 positions and 1 rows, 1/1 heads of 8, and 55 more',
      reported: 'a race',
    },
    {
      name: 'cuda-tree-attention-shares',
      breaks: 'warps that share a unit skip rows',
      find: '(kUnits - 1 - unit) / units + 1}',
      replace: '(kUnits - 1 - unit) / units + 2}',
      caught:
        'treeAttention on cuda-checked in float32 of 0 positions and 7 rows, 2/1 heads of 12, and 33 more',
      reported: 'a read of memory that was never written',
    },
    {
      name: 'cuda-tree-attention-merge-barrier',
      breaks: 'sums of units are merged before they are written',
      find: 'unit.weigh(passes, dim, shared_.sums[share.unit]);\n        __syncthreads();',
      replace: 'unit.weigh(passes, dim, shared_.sums[share.unit]);',
      caught:
        'treeAttention on cuda-checked in float32 of 0 positions and 1 rows, 1/1 heads of 8, and 55 more',
      reported: 'a race',
    },
    {
      name: 'cuda-tree-attention-divergent-barrier',
      breaks: 'only threads with a query reach the barrier',
      find: '      __syncthreads();\n      if (thread_ < tile_.count) merge_softmax(chunk, first);',
      replace:
        '      if (thread_ < tile_.count) __syncthreads();\n      if (thread_ < tile_.count) merge_softmax(chunk, first);',
      caught:
        'treeAttention on cuda-checked in float32 of 0 positions and 1 rows, 1/1 heads of 8, and 55 more',
      reported: 'a divergent barrier',
    },
  ]),

  ...faults('cuda/attention/tree_attention.cu', 'ops/attention/tree-attention', [
    {
      name: 'cuda-tree-attention-padding',
      breaks: 'padding counts as rows with chunks',
      find: 'const int64_t first = valid ? rows_in_use(tree) : 0;',
      replace: 'const int64_t first = valid ? tree.rows : 0;',
      caught:
        'treeAttention on cuda-checked in float32 gives padding zeros and other rows the same bits (trees that the host knows: true), and 3 more',
      reported: 'a read of memory that was never written',
    },
  ]),

  ...faults('cuda/attention/tree_attention.cu', 'ops/attention/tree-attention', [
    {
      name: 'cuda-tree-attention-window-slots',
      breaks: 'chunks before the window of a row are merged into its result',
      find: 'const Range chunks = {place.first / kChunk, ',
      replace: 'const Range chunks = {0, ',
      caught:
        'treeAttention on cuda-checked in float32 of 700 positions and 6 rows, 4/1 heads of 20, and 11 more',
      reported: 'a read of memory that was never written',
    },
    {
      name: 'cuda-tree-attention-window-merge',
      breaks: "a row's first chunk is merged with one that it does not have, because another row has it",
      find: 'chunk > Max()(first, shared_.queries[q].first / kChunk)',
      replace: 'chunk > Max()(first, first_ / kChunk)',
      caught:
        'treeAttention on cuda-checked in float32 gives a long prompt the same bits whole and in pieces, window 70, and 1 more',
      reported: 'a read of memory that was never written',
    },
    {
      name: 'cuda-tree-attention-window-units',
      breaks: 'units are skipped if the first row of the tile does not see them',
      find: '(shared ? first_ : shared_.places[r].first)',
      replace: '(shared ? shared_.places[tile_.rows - 1].first : shared_.places[r].first)',
      caught:
        'treeAttention on cuda-checked in float32 after 100 positions gives each of 33 rows the bits of plain decoding, and 3 more',
      reported: 'a read of memory that was never written',
    },
  ]),

  ...faults('cuda/attention/tree_attention_units.cuh', 'ops/attention/tree-attention', [
    {
      name: 'cuda-tree-attention-window',
      breaks: 'a window has one position more',
      find: 'first_ + place >= source_.places[q].first',
      replace: 'first_ + place >= source_.places[q].first - 1',
      caught:
        'treeAttention on cuda-checked in float32 of 0 positions and 7 rows, 2/1 heads of 12, and 6 more',
    },
    {
      name: 'cuda-tree-attention-window-bfloat16',
      breaks: 'a window of bfloat16 has one position more',
      find: 'place >= hidden ?',
      replace: 'place >= hidden - 1 ?',
      caught:
        'treeAttention on cuda-checked in bfloat16 of 0 positions and 7 rows, 2/1 heads of 12, and 6 more',
    },
    {
      name: 'cuda-tree-attention-page',
      breaks: 'ancestors on the next page are read from the page of their position',
      find: 'const T* const page = number == number_ ? page_ :',
      replace: 'const T* const page = number >= number_ ? page_ :',
      caught:
        'treeAttention on cuda-checked in float32 of 47 positions and 64 rows, 4/1 heads of 32, and 15 more',
    },
  ]),

  ...faults('cuda/attention/kv_cache.cu', 'ops/attention/kv-cache', [
    {
      name: 'cuda-kv-append-padding',
      breaks: 'padding is written after the rows of the last sequence',
      find: 'row < rows_in_use(tree); row += gridDim.x',
      replace: 'row < tree.rows; row += gridDim.x',
      caught:
        'the KV cache on cuda-checked in float32 gets no row of padding (trees that the host knows: true), and 3 more',
    },
    {
      name: 'cuda-kv-compact-last-row',
      breaks: 'the last accepted row is not moved',
      find: 'for (int64_t first = in_place; first < count; first += kTogether)',
      replace: 'for (int64_t first = in_place; first + 1 < count; first += kTogether)',
      caught:
        'the KV cache on cuda-checked in float32 with capacity 9 and heads of 5, compacted, is that of plain decoding, and 9 more',
    },
    {
      name: 'cuda-kv-append-slot',
      breaks: 'rows of later sequences are written past the place of the first sequence',
      find: 'tree.lengths[sequence] + row - tree.row_offsets[sequence];',
      replace: 'tree.lengths[sequence] + row;',
      caught:
        'the KV cache on cuda-checked in float32 with capacity 9 and heads of 5, compacted, is that of plain decoding, and 31 more',
      reported: 'a race',
    },
  ]),
];
