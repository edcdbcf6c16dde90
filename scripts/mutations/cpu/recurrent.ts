import { faults, type Mutation } from '../mutation';

export const recurrent: readonly Mutation[] = [
  ...faults('cpu/recurrent/short_convolution.cc', 'ops/recurrent/gated-delta', [
    {
      name: 'short-convolution-parent',
      breaks: 'the position before a row is the row before it, not its parent',
      find: 'row = args.tree.parents[row];',
      replace: 'row = row > args.tree.row_offsets[sequence] ? row - 1 : -1;',
    },
    {
      name: 'short-convolution-state',
      breaks: 'all positions before the rows have the last input of the state',
      find: 'of_tap[j] = last -= channels;',
      replace: 'of_tap[j] = last - channels;',
    },
    {
      name: 'short-convolution-weights',
      breaks: 'the weights are in the order of time reversed',
      find: 'as_floats(args.weight)[c * shape.taps + j]',
      replace: 'as_floats(args.weight)[c * shape.taps + shape.taps - 1 - j]',
    },
    {
      name: 'short-convolution-padding',
      breaks: 'padding is not written',
      find: 'r = tree.row_offsets[tree.sequences]; r < tree.rows; ++r',
      replace: 'r = tree.rows; r < tree.rows; ++r',
    },
  ]),

  ...faults('cpu/recurrent/delta_rows.cc', 'ops/recurrent/gated-delta', [
    {
      name: 'gated-delta-epsilon',
      breaks: 'nothing is added to the squares of a query or key',
      find: 'dot(x, x, count) + 1e-6f',
      replace: 'dot(x, x, count)',
    },
    {
      name: 'gated-delta-query-scale',
      breaks: 'queries are not divided by the root of their size',
      find: 'normalize(x + h * key_dim, scale, key_dim, query);',
      replace: 'normalize(x + h * key_dim, 1, key_dim, query);',
    },
    {
      name: 'gated-delta-softplus',
      breaks: 'the logarithm of 1 + e^x has the error of that sum',
      find: 'log(sum) * (e / rounded)',
      replace: 'log(sum)',
    },
    {
      name: 'gated-delta-levels',
      breaks: 'the order of a sum depends on the width of vectors',
      find: `constexpr int kVecs = kPanel / kLanes;
  Vec sums[kVecs] = {};
  for (int64_t i = 0; i < count; i += kPanel) {`,
      replace: `constexpr int kVecs = 1;
  Vec sums[kVecs] = {};
  for (int64_t i = 0; i < count; i += kLanes) {`,
    },
  ]),

  ...faults('cpu/recurrent/delta_rule.h', 'ops/recurrent/gated-delta', [
    {
      name: 'gated-delta-key-heads',
      breaks: 'consecutive value heads use different key heads',
      find: 'shape.key_head_of(value_head)',
      replace: 'value_head % shape.key_heads',
    },
    {
      name: 'gated-delta-decay',
      breaks: 'S does not decay',
      find: 'update.delta[v], update.decay * value);',
      replace: 'update.delta[v], value);',
    },
    {
      name: 'gated-delta-kept',
      breaks: 'a row compares its value with S before the decay',
      find: 'fma(-update.decay, products.key[v]',
      replace: 'fma(broadcast(-1.0f), products.key[v]',
    },
    {
      name: 'gated-delta-last-panel',
      breaks: 'only one panel of the last whole slice is computed',
      find: 'shape.value_dim - column >= kSlice',
      replace: 'shape.value_dim - column > kSlice',
    },
  ]),

  ...faults('cpu/recurrent/walk.h', 'ops/recurrent/gated-delta', [
    {
      name: 'gated-delta-walk-copy',
      breaks: 'S of a child that is not the last replaces that of its parent',
      find: 'parent.copy + !is_last;',
      replace: 'parent.copy;',
    },
    {
      name: 'gated-delta-walk-follows',
      breaks: 'every child is taken for the first one of its parent',
      find: 'node.parent > 0 && node.place == parent.place + 1;',
      replace: 'node.parent > 0;',
    },
  ]),

  ...faults('cpu/recurrent/gated_delta.cc', 'ops/recurrent/gated-delta', [
    {
      name: 'gated-delta-parent',
      breaks: 'every row begins with the state',
      find: 'visit.source < 0 ? state : copies + visit.source * copy_floats',
      replace: 'state',
    },
    {
      name: 'gated-delta-out',
      breaks: 'the share of S in the result does not decay',
      find: 'update.decay * products.query[v]',
      replace: 'products.query[v]',
    },
    {
      name: 'gated-delta-padding',
      breaks: 'padding is not written',
      find: 'int64_t i = rows * out_dim; i < tree.rows * out_dim; ++i',
      replace: 'int64_t i = tree.rows * out_dim; i < tree.rows * out_dim; ++i',
    },
  ]),

  ...faults('cpu/recurrent/commit_recurrent.cc', 'ops/recurrent/gated-delta', [
    {
      name: 'commit-recurrent-path',
      breaks: 'the first rows of the tree are committed, not those of the path',
      find: 'prepared, path[i], value_head, column);',
      replace: 'prepared, args.row_offsets[sequence] + i, value_head, column);',
    },
    {
      name: 'commit-recurrent-last-row',
      breaks: 'the last accepted row is not committed',
      find: '  pass<kVecs, true, Wanted::kNothing>(s, s, key_dim, update, nullptr, nullptr, products);\n',
      replace: '',
    },
    {
      name: 'commit-recurrent-inputs',
      breaks: 'last inputs are overwritten before they move',
      find: 'for (int64_t j = 0; j < kept; ++j) {',
      replace: 'for (int64_t j = kept; j-- > 0;) {',
    },
  ]),
];
