import { faults, type Mutation } from '../mutation';

export const recurrent: readonly Mutation[] = [
  ...faults('cuda/recurrent/short_convolution.cu', 'ops/recurrent/gated-delta', [
    {
      name: 'cuda-short-convolution-parent',
      breaks: 'the position before a row is the row before it, not its parent',
      find: 'above = tree.parents[above];',
      replace: '--above;',
    },
    {
      name: 'cuda-short-convolution-channels',
      breaks: 'threads behind the last channel compute, too',
      find: '  if (channel >= channels) return;\n',
      replace: '',
    },
    {
      name: 'cuda-short-convolution-padding',
      breaks: 'padding is taken for rows of the last sequence',
      find: 'const int64_t rows = valid ? rows_in_use(tree) : 0;',
      replace: 'const int64_t rows = valid ? tree.rows : 0;',
    },
  ]),

  ...faults('cuda/recurrent/delta_tile.cuh', 'ops/recurrent/gated-delta', [
    {
      name: 'cuda-gated-delta-epsilon',
      breaks: 'nothing is added to the squares of a key',
      find: 'sqrtf(sum_row_groups(squares) + 1e-6f)',
      replace: 'sqrtf(sum_row_groups(squares))',
    },
    {
      name: 'cuda-gated-delta-softplus',
      breaks: 'the logarithm of 1 + e^x has the error of that sum',
      find: 'fmaf(log(sum), e / rounded, larger)',
      replace: 'larger + log(sum)',
    },
    {
      name: 'cuda-gated-delta-sum',
      breaks: 'sums lack half of the rows of S',
      find: 'distance = kColumnLanes; distance < kWarp;',
      replace: 'distance = kColumnLanes; distance < kWarp / 2;',
    },
    {
      name: 'cuda-gated-delta-key-heads',
      breaks: 'consecutive value heads use different key heads',
      find: 'shape.key_head_of(value_head)',
      replace: 'value_head % shape.key_heads',
    },
    {
      name: 'cuda-gated-delta-decay',
      breaks: 'S does not decay',
      find: 'written, gates.decay * s_[i][j]);',
      replace: 'written, s_[i][j]);',
    },
    {
      name: 'cuda-gated-delta-rows-of-s',
      breaks: 'a lane reads a row of S more than there are',
      find: 's_[i][j] = i < keys ? tile',
      replace: 's_[i][j] = i < keys + 1 ? tile',
    },
  ]),

  ...faults('cuda/recurrent/walk.cuh', 'ops/recurrent/gated-delta', [
    {
      name: 'cuda-gated-delta-walk-copies',
      breaks: 'there is room for one copy of S less',
      find: 'nodes = 3; nodes <= rows;',
      replace: 'nodes = 7; nodes <= rows;',
    },
    {
      name: 'cuda-gated-delta-walk-copy',
      breaks: 'S of a child that is not the last replaces that of its parent',
      find: 'last_of(walk.parents[node]) != node) ++copy;',
      replace: 'last_of(walk.parents[node]) == -1) ++copy;',
    },
    {
      name: 'cuda-gated-delta-walk-barrier',
      breaks: 'subtrees are compared before all of their nodes are counted',
      find: '  if (thread == 0) walk.sizes[0] = rows + 1;\n  __syncthreads();\n',
      replace: '  if (thread == 0) walk.sizes[0] = rows + 1;\n',
    },
    {
      name: 'cuda-gated-delta-walk-chain',
      breaks: 'a tree whose rows are in line except the second one is taken for a chain',
      find: 'if (i > 1 && walk.parents[i] != i - 1) in_line = 0;',
      replace: 'if (i > 2 && walk.parents[i] != i - 1) in_line = 0;',
    },
  ]),

  ...faults('cuda/recurrent/gated_delta.cu', 'ops/recurrent/gated-delta', [
    {
      name: 'cuda-gated-delta-gates',
      breaks: 'gates are those of the row whose number is that of the visit',
      find: 'step<true>(row, gates[visit.row],',
      replace: 'step<true>(row, gates[i],',
    },
    {
      name: 'cuda-gated-delta-columns',
      breaks: 'the two columns of a lane change places',
      find: 'lane < kColumnLanes ? values[0] : values[1]',
      replace: 'lane < kColumnLanes ? values[1] : values[0]',
    },
    {
      name: 'cuda-gated-delta-tiles',
      breaks: 'warps without a tile compute, too',
      find: '  if (!place.exists) return;\n\n  const HeadRows',
      replace: '\n  const HeadRows',
    },
    {
      name: 'cuda-gated-delta-padding',
      breaks: 'padding is not written',
      find: 'r = valid ? rows_in_use(tree) : 0; r < tree.rows;',
      replace: 'r = valid ? tree.rows : 0; r < tree.rows;',
    },
  ]),

  ...faults('cuda/recurrent/commit_recurrent.cu', 'ops/recurrent/gated-delta', [
    {
      name: 'cuda-commit-recurrent-path',
      breaks: 'after the first row, the rows of the tree are committed, not those of the path',
      find: 'inputs.load(path[i + 1], next);',
      replace: 'inputs.load(path[0] + i + 1, next);',
    },
    {
      name: 'cuda-commit-recurrent-last-row',
      breaks: 'the last accepted row is not committed',
      find: 'step<false>(row, gates[i], 1, true, unwanted);',
      replace: 'step<false>(row, gates[i], 1, i + 1 < count, unwanted);',
    },
    {
      name: 'cuda-commit-recurrent-inputs',
      breaks: 'last inputs are overwritten before they move',
      find: 'for (int64_t j = 0; j < kept; ++j) {',
      replace: 'for (int64_t j = kept; j-- > 0;) {',
    },
    {
      name: 'cuda-commit-recurrent-gates',
      breaks: 'gates are used before all are computed',
      find: '  __syncthreads();\n  if (!place.exists) return;',
      replace: '  if (!place.exists) return;',
    },
  ]),

  ...faults('cuda/recurrent/commit_recurrent.cu', 'ops/after-error', [
    {
      name: 'cuda-commit-recurrent-after-error',
      breaks: 'states change after an error',
      find: ' || has_error(reporter.record)) return;',
      replace: ') return;',
    },
  ]),

  ...faults('cuda/sampling/tree_check.cuh', 'ops/recurrent/commit-recurrent', [
    {
      name: 'cuda-commit-recurrent-rows',
      breaks: 'rows behind the last one may be committed',
      find: `  look_at_rows(rank, args.row_offsets, args.sequences, args.rows, problem);
  look_at_paths(rank + 1,`,
      replace: '  look_at_paths(rank + 1,',
    },
    {
      name: 'cuda-recurrent-room',
      breaks: 'a sequence may have a row more than there is room for',
      find: 's + 1, end, first, first + most,',
      replace: 's + 1, end, first, first + most + 1,',
    },
  ]),
];
