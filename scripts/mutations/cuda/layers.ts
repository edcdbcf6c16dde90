import { faults, type Mutation } from '../mutation';

export const layers: readonly Mutation[] = [
  ...faults('cuda/common/activations.cuh', 'ops/layers/glu', [
    {
      name: 'cuda-glu-gelu-cubic',
      breaks: "GELU's cubic term is that of another approximation",
      find: 'kGeluCubic = 0.0713548163f',
      replace: 'kGeluCubic = 0.0714548163f',
      caught: 'gelu_tanh on cuda-checked in float32 1 x 1 rows and columns, and 9 more',
    },
    {
      name: 'cuda-glu-gelu-overflow',
      breaks: "GELU's slope is computed with powers that overflow",
      find: 'return x < -16.0f ? -16.0f : x > 16.0f ? 16.0f : x;',
      replace: 'return x;',
      caught: 'gelu_tanh at the ends of the range, on cuda-checked',
    },
  ]),

  ...faults('cuda/layers/rope.cu', 'ops/layers/rope', [
    {
      name: 'cuda-rope-rest',
      breaks: 'the dimensions that are not rotated come from the second half of the rotated ones',
      find: 'if (is_valid) load_columns<(N > 1)>(x, half + at, args.head_dim, first);',
      replace: 'if (is_valid) load_columns<(N > 1)>(x, at, args.head_dim, first);',
      caught: 'cuda-checked in float32 5 rows, 2 of 7 in 3 of 4 heads, and 8 more',
    },
    {
      name: 'cuda-rope-alignment',
      breaks: 'the dimensions that are not rotated are read in vectors even if they are not aligned',
      find: '{half * bytes, args.head_dim * bytes}',
      replace: '{half * bytes}',
      caught: 'cuda-checked in float32 5 rows, 16 of 21 in 1 of 2 heads, and 1 more',
      reported: 'misaligned',
    },
  ]),

  ...faults('cuda/layers/glu.cu', 'ops/layers/glu', [
    {
      name: 'cuda-glu-backward-up',
      breaks: 'the gradient of the up projection lacks the gate',
      find: 'grad_up[i] = grad[i] * gate[i] * share.value;',
      replace: 'grad_up[i] = grad[i] * share.value;',
      caught: 'silu on cuda-checked in float32 1 x 1 rows and columns, and 21 more',
    },
    {
      name: 'cuda-glu-alignment',
      breaks: 'rows are read in vectors even if the second half of a row is not aligned',
      find: 'vectors_fit({args.gate_up, args.out}, {args.dim * static_cast<int64_t>(sizeof(T))})',
      replace: 'vectors_fit({args.gate_up, args.out}, {})',
      caught: 'silu on cuda-checked in float32 1 x 1 rows and columns, and 21 more',
      reported: 'a read of memory that was never written',
    },
  ]),

  ...faults('cuda/layers/elementwise.cu', 'ops/layers/elementwise', [
    {
      name: 'cuda-copy-last-byte',
      breaks: 'the last byte after the units is skipped',
      find: 'for (int64_t i = units * static_cast<int64_t>(sizeof(Unit)) + first; i < bytes; i += threads)',
      replace:
        'for (int64_t i = units * static_cast<int64_t>(sizeof(Unit)) + first; i + 1 < bytes; i += threads)',
      caught: 'cuda-checked 1 elements, and 18 more',
      reported: 'a read of memory that was never written',
    },
    {
      name: 'cuda-copy-alignment',
      breaks: 'the alignment of the target is checked, but not that of the source',
      find: 'const uintptr_t addresses = reinterpret_cast<uintptr_t>(args.in) | reinterpret_cast<uintptr_t>(args.out);',
      replace: 'const uintptr_t addresses = reinterpret_cast<uintptr_t>(args.out);',
      caught: 'cuda-checked views that start at elements 1 and 1, and what lies around them, and 4 more',
      reported: 'misaligned',
    },
    {
      name: 'cuda-slice-alignment',
      breaks: 'a slice is read in vectors even if its begin is not aligned',
      find: 'vectors_fit({copy.in, copy.out}, {',
      replace: 'vectors_fit({copy.out}, {',
      caught: 'columns that begin between vectors, on cuda-checked',
      reported: 'misaligned',
    },
    {
      name: 'cuda-accumulate-dtype',
      breaks: 'the added tensor is read with the dtype of the sum',
      find: 'map_over(context, args.count, out, add, out, static_cast<const decltype(in_type)*>(args.in));',
      replace:
        'map_over(context, args.count, out, add, out, static_cast<const decltype(out_type)*>(args.in));',
      caught: 'in bfloat16 on cuda-checked 1 elements, and 6 more',
      reported: 'a read of memory that was never written',
    },
  ]),

  ...faults('cuda/layers/elementwise.cu', 'ops/after-error', [
    {
      name: 'cuda-copy-after-error',
      breaks: 'a copy overwrites its target after an error',
      find: 'if (has_error(record)) return;',
      replace: '',
      caught: 'after an error on cuda-checked copyInto changes nothing',
    },
  ]),

  ...faults('cuda/layers/rms_norm.cu', 'ops/layers/rms-norm', [
    {
      name: 'cuda-rms-norm-eps',
      breaks: 'eps is added after the square root',
      find: '1.0f / sqrtf(squares / static_cast<float>(dim) + eps)',
      replace: '1.0f / (sqrtf(squares / static_cast<float>(dim)) + eps)',
      caught: 'cuda-checked 1 rows of 1, and 18 more',
    },
    {
      name: 'cuda-rms-norm-sum-unrounded',
      breaks: 'the norm is that of the unrounded sum',
      find: 'values[i] = to_float(from_float<T>(values[i] + residual[i]));',
      replace: 'values[i] = values[i] + residual[i];',
      caught:
        'in bfloat16 on cuda-checked 3 rows of 7 and a residual, which is rounded before it is normed, and 7 more',
    },
    {
      name: 'cuda-rms-norm-backward-rstd',
      breaks: 'the gradient through the norm lacks a factor 1/rms',
      find: 'g[i] = rstd * fmaf(-mean, v[i] * rstd, g[i] * w[i]);',
      replace: 'g[i] = rstd * fmaf(-mean, v[i], g[i] * w[i]);',
      caught: 'cuda-checked 1 rows of 1, and 19 more',
    },
    {
      name: 'cuda-rms-norm-last-team',
      breaks: 'the last team has as many rows as a full team',
      find: 'end = std::min(args.rows, begin + rows_each);',
      replace: 'end = begin + rows_each;',
      caught: 'cuda-checked 1 rows of 1, and 40 more',
      reported: 'a read of memory that was never written',
    },
    {
      name: 'cuda-rms-norm-partials',
      breaks: 'the gradient of the weight lacks the first row of each team',
      find: '    for (int64_t row = begin; row < end; ++row) {\n      float g[N], v[N];',
      replace: '    for (int64_t row = begin + 1; row < end; ++row) {\n      float g[N], v[N];',
      caught: 'cuda-checked 1 rows of 1, and 18 more',
    },
  ]),

  ...faults('cuda/layers/rms_norm.cu', 'ops/layers/gated-rms-norm', [
    {
      name: 'cuda-gated-rms-norm-gate',
      breaks: 'the gate is sigmoid(gate) instead of silu(gate)',
      find: 'x[i] * rstd * weight[i] * silu(gate[i])',
      replace: 'x[i] * rstd * weight[i] * sigmoid(gate[i])',
      caught: 'on cuda-checked in float32 1 rows of 1 heads of 1, and 14 more',
    },
    {
      name: 'cuda-gated-rms-norm-row',
      breaks: 'every row has the gate of the first',
      find: 'load_columns<kVectors>(static_cast<const T*>(args.gate) + row * dim, column, dim, gate);',
      replace: 'load_columns<kVectors>(static_cast<const T*>(args.gate), column, dim, gate);',
      caught: 'on cuda-checked in float32 3 rows of 2 heads of 7, and 14 more',
    },
    {
      name: 'cuda-gated-rms-norm-alignment',
      breaks: 'gates are read in vectors even if they are not aligned',
      find: 'vectors_fit({args.x, args.gate, args.weight, args.y}',
      replace: 'vectors_fit({args.x, args.weight, args.y}',
      caught:
        'on cuda-checked in float32 a row has the same bits wherever each operand begins in memory, and 1 more',
      reported: 'misaligned',
    },
  ]),

  ...faults('cuda/layers/elementwise.cu', 'ops/layers/sigmoid-gate', [
    {
      name: 'cuda-sigmoid-gate-silu',
      breaks: 'the factor is silu(gate) instead of sigmoid(gate)',
      find: 'return x * sigmoid(gate);',
      replace: 'return x * silu(gate);',
      caught: 'on cuda-checked in float32 1 elements, and 8 more',
    },
  ]),

  ...faults('cuda/layers/embedding.cu', 'ops/layers/embedding', [
    {
      name: 'cuda-embedding-beyond-vocabulary',
      breaks: 'the token one past the vocabulary is accepted',
      find: 'if (reporter.check(Argument::kTokens, row, token, 0, vocab - 1)) load<N>',
      replace: 'if (reporter.check(Argument::kTokens, row, token, 0, vocab)) load<N>',
      caught: 'cuda-checked token -1 of 5 is refused, and 3 more',
      reported: 'a read of memory that was never written',
    },
    {
      name: 'cuda-embedding-backward-order',
      breaks: 'rows of a rare token are added in reverse order',
      find: 'place += __shfl_sync(kAllLanes, mine, i) < mine;',
      replace: 'place += __shfl_sync(kAllLanes, mine, i) > mine;',
      caught: 'cuda-checked 3 tokens of a vocabulary of 1 in 7 dimensions, and 5 more',
    },
    {
      name: 'cuda-embedding-backward-rest',
      breaks: 'rows that remain in the queue at the end are not added',
      find: 'const bool last = group == kGroups - 1 && first + kGroups * kWarp >= rows;',
      replace: 'const bool last = false;',
      caught: 'cuda-checked 300 tokens of a vocabulary of 5 in 257 dimensions, and 2 more',
    },
    {
      name: 'cuda-embedding-backward-full-list',
      breaks: 'a list of 33 rows is treated as one that fits a warp',
      find: 'if (count <= kWarp) add_list',
      replace: 'if (count <= kWarp + 1) add_list',
      caught: 'cuda-checked the gradient of tokens that occur as often as a warp has lanes, or nearly so',
      reported: 'a read of memory that was never written',
    },
    {
      name: 'cuda-embedding-backward-list-barrier',
      breaks: 'the list is read before it is written',
      find: 'queue[place] = mine;\n  __syncwarp();',
      replace: 'queue[place] = mine;',
      caught: 'cuda-checked 3 tokens of a vocabulary of 1 in 7 dimensions, and 9 more',
      reported: 'a read of memory that was never written',
    },
    {
      name: 'cuda-embedding-backward-queue-barrier',
      breaks: 'the queue is written while it is read',
      find: 'sums.add(queued);\n      __syncwarp();',
      replace: 'sums.add(queued);',
      caught: 'cuda-checked 300 tokens of a vocabulary of 5 in 257 dimensions, and 2 more',
      reported: 'a race',
    },
  ]),

  ...faults('cuda/layers/embedding.cu', 'ops/after-error', [
    {
      name: 'cuda-embedding-backward-after-error',
      breaks: 'gradients change after an error',
      find: 'if (has_error(record)) return;',
      replace: '',
      caught: 'after an error on cuda-checked embeddingBackward changes nothing',
    },
  ]),
];
