import { faults, type Mutation } from '../mutation';

export const attention: readonly Mutation[] = [
  ...faults('cpu/attention/attention.cc', 'ops/attention/attention', [
    {
      name: 'attention-scale',
      breaks: 'scores are not scaled',
      find: 'dim, scale, scratch.queries);\n      dot_keys(scratch.queries, block.rows, dim, scratch.keys + block.base * dim, block.groups, scratch.scores,',
      replace:
        'dim, 1, scratch.queries);\n      dot_keys(scratch.queries, block.rows, dim, scratch.keys + block.base * dim, block.groups, scratch.scores,',
      caught: 'attention on avx512 batch 2, length 1, 1/1 heads of 8, and 29 more',
    },
    {
      name: 'attention-causal',
      breaks: 'every row of a block except the last attends to the next row',
      find: 'end = row + 1 - block.base;\n        float* const scores',
      replace: 'end = row + 1 + (i + 1 < block.rows) - block.base;\n        float* const scores',
      caught: 'attention on avx512 batch 2, length 3, 2/1 heads of 12, and 29 more',
    },
    {
      name: 'attention-maximum',
      breaks: 'the largest score is not subtracted before exponentials',
      find: 'const float largest = row_max(scores, begin, end);',
      replace: 'const float largest = 0.0f * row_max(scores, begin, end);',
      caught: 'attention on avx512 is stable where exponentials are not, and 2 more',
    },
    {
      name: 'attention-document-start',
      breaks: "all rows of a block attend from the start of the first row's document",
      find: 'begin = starts.of(row) - block.base, end = row + 1 - block.base;\n        float* const scores',
      replace:
        'begin = starts.of(first) - block.base, end = row + 1 - block.base;\n        float* const scores',
      caught: 'attention on avx512 batch 2, length 31, 4/2 heads of 32, and 20 more',
    },
    {
      name: 'attention-window',
      breaks: 'a window has one row more',
      find: 'position - window + 1',
      replace: 'position - window',
      caught: 'attention on avx512bf16 in float32 sees the last 1 rows, and 23 more',
    },
    {
      name: 'attention-backward-delta',
      breaks: 'the gradient lacks the term of softmax that all keys of a row share',
      find: 'weights[j] * (grad_scores[j] - delta)',
      replace: 'weights[j] * grad_scores[j]',
      caught: 'attention on avx512 batch 2, length 1, 1/1 heads of 8, and 29 more',
    },
    {
      name: 'attention-backward-scale',
      breaks: 'the gradient of queries is not scaled',
      find: 'scale_row(scratch.grad_queries + i * dim, scale, dim,',
      replace: 'scale_row(scratch.grad_queries + i * dim, 1, dim,',
      caught: 'attention on avx512 batch 2, length 3, 2/1 heads of 12, and 27 more',
    },
    {
      name: 'attention-backward-document',
      breaks: 'the gradient of values reaches the last row of the previous document',
      find: 'exponentiate(weights, begin, end,',
      replace: 'exponentiate(weights, begin > 0 ? begin - 1 : begin, end,',
      caught: 'attention on avx512 batch 2, length 31, 4/2 heads of 32, and 17 more',
    },
  ]),

  ...faults('cpu/attention/tree_attention.cc', 'ops/attention/tree-attention', [
    {
      name: 'tree-attention-ancestor',
      breaks: 'the previous row replaces the ancestor',
      find: 'row = tree.parents[row]) {',
      replace: '--row) {',
      caught: 'treeAttention on avx512 of 0 positions and 7 rows, 2/1 heads of 12, and 26 more',
    },
    {
      name: 'tree-attention-shared',
      breaks: 'the shared positions of a block are those of its last row',
      find: 'for (int64_t r = row_of(0); r < last_row; ++r) {',
      replace: 'for (int64_t r = last_row; r < last_row; ++r) {',
      caught: 'treeAttention on avx512 of 15 positions and 2 rows, 2/2 heads of 32, and 23 more',
    },
    {
      name: 'tree-attention-window',
      breaks: 'a window has one position more',
      find: 'positions_of(row) - window)',
      replace: 'positions_of(row) - window - 1)',
      caught:
        'treeAttention on avx512bf16 in float32 of 0 positions and 7 rows, 2/1 heads of 12, and 20 more',
    },
    {
      name: 'tree-attention-window-pages',
      breaks: 'pages before the window of the last row are not read for the other rows',
      find: 'begin = smaller(begin, window_of(r));',
      replace: '',
      caught:
        'treeAttention on avx512bf16 in float32 after 100 positions gives each of 33 rows the bits of plain decoding, and 5 more',
    },
    {
      name: 'tree-attention-own-key',
      breaks: 'only the root attends to itself',
      find: 'const float largest = row_max(scores + begin, first, end);',
      replace:
        'if (places[row].depth > 0) scores[positions - 1] = -1e30f;\n      const float largest = row_max(scores + begin, first, end);',
      caught: 'treeAttention on avx512 of 0 positions and 7 rows, 2/1 heads of 12, and 26 more',
    },
    {
      name: 'tree-attention-padding',
      breaks: 'the last row of padding keeps what the memory held before',
      find: 'i < args.tree.rows * dim; ++i) as_floats',
      replace: 'i < (args.tree.rows - 1) * dim; ++i) as_floats',
      caught:
        'treeAttention on avx512bf16 in float32 gives padding zeros and other rows the same bits (trees that the host knows: true), and 5 more',
    },
  ]),

  ...faults('cpu/attention/tree_attention.cc', 'ops/attention/tree-attention', [
    {
      name: 'tree-attention-page-weights',
      breaks: 'values of every page get the weights of the first',
      find: '++page, sum.weights += kKvPage) {',
      replace: '++page) {',
      caught:
        'treeAttention on avx512bf16 in float32 of 250 positions and 9 rows, 6/2 heads of 24, and 44 more',
    },
    {
      name: 'tree-attention-page-of-ancestors',
      breaks: 'ancestors on the next page are read from the page of the first one',
      find: 'slots + sum.count < end && slots[sum.count] < first + kKvPage; ++sum.count',
      replace: 'slots + sum.count < end; ++sum.count',
      caught:
        'treeAttention on avx512bf16 in float32 of 47 positions and 64 rows, 4/1 heads of 32, and 35 more',
    },
  ]),

  ...faults('cpu/attention/kv_layout.h', 'ops/attention/kv-cache', [
    {
      name: 'kv-layout-layers',
      breaks: 'the values of a layer lie where the keys of the next one do',
      find: 'first = (2 * layer * cache.kv_heads + kv_head) * plane;',
      replace: 'first = (layer * cache.kv_heads + kv_head) * plane;',
      caught:
        'the KV cache on avx512bf16 in float32 with capacity 9 and heads of 5, after compaction, equals that of plain decoding, and 14 more',
    },
  ]),

  ...faults('cpu/attention/kv_cache.cc', 'ops/attention/kv-cache', [
    {
      name: 'kv-compact-values',
      breaks: 'moved rows keep the values of their new slot',
      find: 'copy_floats(head.value(to), head.value(from),',
      replace: 'copy_floats(head.value(from), head.value(to),',
      caught: 'the KV cache on avx512 with capacity 9, compacted, is that of plain decoding, and 14 more',
    },
    {
      name: 'kv-compact-keys',
      breaks: 'the last dimension of a moved key stays where it was',
      find: 'for (int64_t d = 0; d < head.head_dim; ++d) out[d * kGroup] = in[d * kGroup];',
      replace: 'for (int64_t d = 0; d + 1 < head.head_dim; ++d) out[d * kGroup] = in[d * kGroup];',
      caught:
        'the KV cache on avx512bf16 in float32 with capacity 9 and heads of 5, after compaction, equals that of plain decoding, and 14 more',
    },
    {
      name: 'kv-compact-last-row',
      breaks: 'the last accepted row is not moved',
      find: 'for (int64_t i = 0; i < args.counts[s]; ++i) {',
      replace: 'for (int64_t i = 0; i + 1 < args.counts[s]; ++i) {',
      caught: 'the KV cache on avx512 with capacity 9, compacted, is that of plain decoding, and 14 more',
    },
  ]),
];
