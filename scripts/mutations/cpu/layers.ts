import { faults, type Mutation } from '../mutation';

export const layers: readonly Mutation[] = [
  ...faults('cpu/layers/rms_norm.cc', 'ops/layers/rms-norm', [
    {
      name: 'rms-norm-eps',
      breaks: 'eps is added after the square root',
      find: '1 / __builtin_sqrt(mean + static_cast<double>(eps))',
      replace: '1 / (__builtin_sqrt(mean) + static_cast<double>(eps))',
      caught: 'avx512 1 rows of 1, and 23 more',
    },
    {
      name: 'rms-norm-backward-mean',
      breaks: 'the gradient lacks the derivative of the norm',
      find: 'return scale * fma(-mean, x * scale, grad * weight);',
      replace: 'return scale * fma(0.0f * mean, x * scale, grad * weight);',
      caught: 'avx512 1 rows of 1, and 26 more',
    },
    {
      name: 'rms-norm-backward-rstd',
      breaks: 'the gradient through the norm lacks a factor 1/rms',
      find: 'broadcast(product * rstd / static_cast<float>(dim))',
      replace: 'broadcast(product / static_cast<float>(dim))',
      caught: 'avx512 1 rows of 1, and 26 more',
    },
    {
      name: 'rms-norm-weight-last-block',
      breaks: 'the gradient of the weight lacks the last of several blocks of rows',
      find: 'for (int64_t block = 0; block < blocks; ++block) {',
      replace: 'for (int64_t block = 0; block + (blocks > 1) < blocks; ++block) {',
      caught: 'avx512 31 rows of 47, and 8 more',
    },
  ]),

  ...faults('cpu/layers/rms_norm.cc', 'ops/layers/gated-rms-norm', [
    {
      name: 'gated-rms-norm-gate',
      breaks: 'the gate is sigmoid(gate) instead of silu(gate)',
      find: 'x * scale * weight * silu(gate)',
      replace: 'x * scale * weight * sigmoid(gate)',
      caught: 'on avx512bf16 in float32 1 rows of 1 heads of 1, and 23 more',
    },
    {
      name: 'gated-rms-norm-levels',
      breaks: 'the order of a sum depends on the width of vectors',
      find: 'constexpr int kSums = 32, kChains = kSums / kLanes;',
      replace: 'constexpr int kChains = 4, kSums = kChains * kLanes;',
      caught: '40 rows of 8 heads of 128 have the same bits on all levels with fused multiply-adds',
    },
    {
      name: 'gated-rms-norm-tail',
      breaks: 'only one vector after the last full 32 elements is summed',
      find: 'for (int chain = 0; chain < kChains; ++chain, i += kLanes) sums[chain] += f(i, lanes_of(dim - i));',
      replace: 'sums[0] += f(i, lanes_of(dim - i));',
      caught: 'on avx2vnni in float32 5 rows of 2 heads of 16, and 5 more',
    },
  ]),

  ...faults('cpu/layers/elementwise.cc', 'ops/layers/sigmoid-gate', [
    {
      name: 'sigmoid-gate-silu',
      breaks: 'the factor is silu(gate) instead of sigmoid(gate)',
      find: 'x * sigmoid(gate)',
      replace: 'x * silu(gate)',
      caught: 'on avx512bf16 in float32 1 elements, and 14 more',
    },
  ]),

  ...faults('cpu/layers/rope.cc', 'ops/layers/rope', [
    {
      name: 'rope-sign',
      breaks: 'the second half rotates the wrong way',
      find: 'return second * cos + first * (sign * sin);',
      replace: 'return second * cos - first * (sign * sin);',
      caught: 'avx512 1 rows, 1 of 1 heads of 2, and 17 more',
    },
    {
      name: 'rope-rest',
      breaks: 'dimensions that are not rotated are not copied',
      find: 'copy_floats(y + i + 2 * half, x + i + 2 * half, args.head_dim - 2 * half);',
      replace: '',
      caught: 'avx512bf16 in float32 5 rows, 2 of 7 in 3 of 4 heads, and 14 more',
    },
    {
      name: 'rope-inverse',
      breaks: 'backward rotates forward',
      find: 'broadcast(args.inverse ? -1.0f : 1.0f)',
      replace: 'broadcast(1.0f)',
      caught: 'avx512 position 0 changes nothing, and turning back undoes turning, and 5 more',
    },
  ]),

  ...faults('cpu/layers/activations.h', 'ops/layers/elementwise', [
    {
      name: 'silu-slope',
      breaks: 'the derivative of silu has s instead of 1 - s',
      find: 'fma(x, s.rest, broadcast(1.0f))',
      replace: 'fma(x, s.value, broadcast(1.0f))',
      caught: 'avx512 1 elements, and 44 more',
    },
    {
      name: 'silu-slope-cancellation',
      breaks: '1 - sigmoid(x) is computed as a difference',
      find: 'return {x < 0.0f ? small : large, x < 0.0f ? large : small};',
      replace: 'return {x < 0.0f ? small : large, 1.0f - (x < 0.0f ? small : large)};',
      caught: 'avx512 31 elements, and 13 more',
    },
  ]),

  ...faults('cpu/layers/activations.h', 'ops/layers/glu', [
    {
      name: 'glu-gelu-cubic',
      breaks: "GELU's cubic term is that of another approximation",
      find: 'kGeluCubic = 0.0713548163f',
      replace: 'kGeluCubic = 0.0714548163f',
      caught: 'gelu_tanh on avx512bf16 in float32 1 x 1 rows and columns, and 17 more',
    },
    {
      name: 'glu-gelu-overflow',
      breaks: "GELU's slope is computed with powers that overflow",
      find: 'return min(broadcast(16.0f), max(broadcast(-16.0f), x));',
      replace: 'return x;',
      caught: 'gelu_tanh at the ends of the range, on avx512bf16, and 2 more',
    },
    {
      name: 'glu-gelu-steepness',
      breaks: "the slope of GELU lacks the derivative's factor 3",
      find: 'broadcast(3 * kGeluCubic)',
      replace: 'broadcast(kGeluCubic)',
      caught: 'gelu_tanh on avx512bf16 in float32 1 x 1 rows and columns, and 20 more',
    },
  ]),

  ...faults('cpu/layers/glu.cc', 'ops/layers/glu', [
    {
      name: 'glu-backward-up',
      breaks: 'the gradient of the up projection lacks the gate',
      find: 'store_n(grad_up + i, upstream * g * share.value, lanes);',
      replace: 'store_n(grad_up + i, upstream * share.value, lanes);',
      caught: 'silu on avx512bf16 in float32 1 x 1 rows and columns, and 35 more',
    },
    {
      name: 'glu-activation',
      breaks: 'backward and forward have another activation',
      find: 'if (activation == GluActivation::kSilu) f(Silu());',
      replace: 'if (activation != GluActivation::kSilu) f(Silu());',
      caught: 'silu on avx512bf16 in float32 1 x 1 rows and columns, and 41 more',
    },
  ]),

  ...faults('cpu/layers/embedding.cc', 'ops/layers/embedding', [
    {
      name: 'embedding-backward-last-row',
      breaks: 'the last token has no gradient',
      find: 'for (int64_t r = 0; r < args.rows; ++r) {',
      replace: 'for (int64_t r = 0; r + 1 < args.rows; ++r) {',
      caught: 'avx512 1 tokens of a vocabulary of 1 in 1 dimensions, and 17 more',
    },
  ]),
];
