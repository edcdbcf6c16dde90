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

  ...faults('core/tree.cc', 'ops/attention/kv-cache', [
    {
      name: 'tree-rows-beyond-the-last',
      breaks: 'a sequence may have a row more than there are rows',
      find: '{"rowOffsets", last, offsets[last], 0, tree.rows, Bound::kRowCount}',
      replace: '{"rowOffsets", last, offsets[last], 0, tree.rows + 1, Bound::kRowCount}',
    },
  ]),

  ...faults('core/tree.cc', 'ops/sampling/accepted-rows', [
    {
      name: 'accepted-rows-room',
      breaks: 'open positions need no room in the results',
      find: 'rows += int64_t{open[s]} + counts[s];',
      replace: 'rows += counts[s];',
    },
  ]),
];
