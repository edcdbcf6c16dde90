import { faults, type Mutation } from './mutation';

export const core: readonly Mutation[] = [
  ...faults('core/tensor.h', 'ops/layers/zero-sizes', [
    {
      name: 'tensor-rows-without-elements',
      breaks: 'a tensor without columns has no rows',
      find: 'int64_t rows() const { return product(rank - 1); }',
      replace: 'int64_t rows() const { return count() == 0 ? 0 : product(rank - 1); }',
      caught: 'on avx512bf16 in float32 concat: with no columns on the left, and 14 more',
    },
  ]),

  ...faults('core/page_pool.cc', 'nn/kv-cache', [
    {
      name: 'kv-pages-not-cleared',
      breaks: 'a page holds the text of the sequence that had it before',
      find: '    backend.run(FillArgs{page->data(), page->shape.count(), 0, page->dtype});\n',
      replace: '',
      caught: 'a KvCache on avx512bf16 in float32 leaves no trace of a released text, and 4 more',
    },
    {
      name: 'kv-pages-shared',
      breaks: 'released pages stay in use by their sequence',
      find: 'for (; !pages.empty(); pages.pop_back()) free_.push_back(std::move(pages.back()));',
      replace: 'for (const Tensor& page : pages) free_.push_back(page);',
      caught:
        'a KvCache on avx512bf16 in float32 gives texts that grow, end and begin beside each other the bits of texts alone, in captured steps, and 7 more',
    },
  ]),

  ...faults('core/page_pool.cc', 'nn/kv-cache-memory', [
    {
      name: 'kv-pages-release-limit',
      breaks: 'a released sequence keeps its room',
      find: '  set_limit(sequence, 0);\n',
      replace: '',
      caught:
        'the memory of a KvCache on avx512bf16 that is not reserved is refused, if the host knows the positions, and 7 more',
    },
    {
      name: 'kv-pages-doubling',
      breaks: 'a pool that cannot double does not grow at all',
      find: 'count == missing) throw;',
      replace: 'count >= missing) throw;',
      caught: 'the memory of a KvCache on avx512bf16 that runs out leaves the cache as it was, and 3 more',
    },
  ]),

  ...faults('core/capture.h', 'nn/kv-cache-memory', [
    {
      name: 'capture-forgets-cache',
      breaks: 'a capture does not keep the caches that it uses',
      find: '{ retained_.insert(cache); }',
      replace: '{}',
      caught: 'the memory of a KvCache on avx512bf16 belongs to the captures that use it, too, and 3 more',
    },
  ]),

  ...faults('core/capture.h', 'tensor/recurrent-states', [
    {
      name: 'capture-forgets-states',
      breaks: 'a capture does not keep the states that it uses',
      find: '{ retained_.insert(states); }',
      replace: '{}',
    },
  ]),

  ...faults('core/tree.cc', 'ops/recurrent/commit-recurrent', [
    {
      name: 'commit-recurrent-rows',
      breaks: 'rows behind the last one may be committed',
      find: '         rows_have_problem(offsets, args.sequences, args.rows, problem) ||\n',
      replace: '',
    },
  ]),

  ...faults('core/tree.cc', 'ops/attention/kv-cache', [
    {
      name: 'tree-rows-beyond-the-last',
      breaks: 'a sequence may have a row more than there are rows',
      find: '{"rowOffsets", sequences, row_offsets[sequences], 0, rows, Bound::kRowCount}',
      replace: '{"rowOffsets", sequences, row_offsets[sequences], 0, rows + 1, Bound::kRowCount}',
      caught:
        'indices known to the host on avx512bf16 a malformed tree is refused: rowOffsets[2] is 6, but must be in 0 … 5 (the number of rows), and 6 more',
    },
  ]),

  ...faults('core/tree.cc', 'ops/sampling/accepted-rows', [
    {
      name: 'accepted-rows-room',
      breaks: 'open positions need no room in the results',
      find: 'rows += int64_t{open[s]} + counts[s];',
      replace: 'rows += counts[s];',
      caught: 'indices known to the host, on avx512bf16 more rows than the results have room for, and 7 more',
    },
  ]),
];
