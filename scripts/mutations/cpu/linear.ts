import { faults, type Mutation } from '../mutation';

export const linear: readonly Mutation[] = [
  ...faults('cpu/linear/gemm.cc', 'ops/linear/linear', [
    {
      name: 'gemm-bias-per-block',
      breaks: 'the bias is added once per block of k',
      find: 'const float* bias = g.bias && last ? g.bias + col : nullptr;',
      replace: 'const float* bias = g.bias ? g.bias + col : nullptr;',
      caught: 'avx512 2 rows, 1025 inputs, 3 outputs, and 8 more',
    },
    {
      name: 'gemm-k-remainder',
      breaks: 'the last block of k is skipped if it is smaller than the others',
      find: '} while (first < g.k);',
      replace: '} while (first + blocks.depth <= g.k);',
      caught: 'avx512 2 rows, 1025 inputs, 3 outputs, and 8 more',
    },
    {
      name: 'gemm-overwrites-block',
      breaks: 'a later block of k overwrites the sums of the earlier ones',
      find: 'const bool accumulate = g.accumulate || first > 0,',
      replace: 'const bool accumulate = g.accumulate,',
      caught: 'avx512bf16 2 rows, 1025 inputs, 3 outputs, and 20 more',
    },
    {
      name: 'gemm-column-sums',
      breaks: 'the gradient of a bias lacks the first row',
      find: 'for (int64_t i = 0; i < m; ++i) {\n      const float* row = x + i * stride;',
      replace: 'for (int64_t i = 1; i < m; ++i) {\n      const float* row = x + i * stride;',
      caught: 'avx512 1 rows, 1 inputs, 1 outputs, and 29 more',
    },
  ]),

  ...faults('cpu/linear/gemm.cc', 'ops/loss/linear-cross-entropy-long-sums', [
    {
      name: 'gemm-pieces',
      breaks: 'the pieces of a sum share one accumulator',
      find: 'if (g.pieces && accumulate) {',
      replace: 'if (g.pieces && accumulate && depth < kPiece) {',
      caught: 'the gradient of hidden states, random rows of 262144 logits avx512bf16, and 8 more',
    },
  ]),

  ...faults('cpu/linear/gemm_dot.cc', 'ops/linear/dot-formats', [
    {
      name: 'dot-block-of-rows',
      breaks: 'a later block of rows is written to the place of the first',
      find: 'f(row + begin, static_cast<int>',
      replace: 'f(begin, static_cast<int>',
      caught: 'bfloat16 on avx512bf16 180 rows, 3200 inputs, 2 outputs, and 11 more',
    },
    {
      name: 'dot-bias-column',
      breaks: 'every panel has the bias of the first panel',
      find: 'g.bias ? g.bias + col : nullptr);',
      replace: 'g.bias ? g.bias + 0 * col : nullptr);',
      caught: 'bfloat16 on avx512bf16 2 rows, 32 inputs, 17 outputs, and 69 more',
    },
    {
      name: 'dot-embedding-column',
      breaks: 'an embedding is that of the first token of its panel',
      find: 'panels.dtype), k, col % kLanes, out);',
      replace: 'panels.dtype), k, 0 * col, out);',
      caught: 'bfloat16 on avx512bf16 3 rows, 31 inputs, 5 outputs, and 143 more',
    },
  ]),

  ...faults('cpu/linear/dot_int8.h', 'ops/linear/dot-formats', [
    {
      name: 'int8-first-sum',
      breaks: 'the offset that makes weights unsigned is not subtracted again',
      find: 'words[r] = -kOffset * sum;',
      replace: 'words[r] = 0 * sum;',
      caught: 'int8 on avx512bf16 1 rows, 1 inputs, 1 outputs, and 59 more',
    },
    {
      name: 'int8-row-scale',
      breaks: 'all rows of a tile have the scale of the first row',
      find: 'scale * broadcast(row_scales[r])',
      replace: 'scale * broadcast(row_scales[0])',
      caught: 'int8 on avx512bf16 3 rows, 31 inputs, 5 outputs, and 60 more',
    },
    {
      name: 'int8-last-group',
      breaks: 'the last group is skipped if it is smaller than the others',
      find: 'return divide_up(k, kGroup); }',
      replace: 'return larger(1, k / kGroup); }',
      caught: 'int8 on avx512bf16 13 rows, 33 inputs, 65 outputs, and 29 more',
    },
    {
      name: 'int8-scale-as-stored',
      breaks: 'weights are quantized with a scale other than the stored one',
      find: 'quantize(from, count, to_float(stored), integers);',
      replace: 'quantize(from, count, scale_for(largest_bits(from, count)), integers);',
      caught: 'int8 on avx512bf16 3 rows, 31 inputs, 5 outputs, and 65 more',
    },
    {
      name: 'int8-not-finite',
      breaks: 'infinity and NaN have a scale like finite numbers',
      find: 'if (bits >= 0x7f800000) return __builtin_nanf("");',
      replace: 'if (bits >= 0x7f800001) return 0;',
      caught: 'int8 on avx512bf16 numbers at the ends of the range, and 5 more',
    },
    {
      name: 'int8-tiny-scale',
      breaks: 'a group is divided by a scale whose inverse is not finite',
      find: 'return scale < kSmallestScale ? 0 : scale;',
      replace: 'return scale;',
      caught: 'int8 on avx512bf16 numbers too small for a scale, and denormal ones, are 0, and 5 more',
    },
    {
      name: 'int8-whole-group',
      breaks: 'the scale of a short last group depends on the numbers after it',
      find: 'abs(load_n(x + i, lanes_of(count - i)))',
      replace: 'abs(load_n(x + i, kLanes))',
      caught: 'int8 on avx512bf16 1 rows, 1 inputs, 1 outputs, and 48 more',
    },
  ]),

  ...faults('cpu/linear/dot_bfloat16.h', 'ops/linear/dot-formats', [
    {
      name: 'bfloat16-denormal',
      breaks: 'denormal numbers are rounded like others',
      find: 'store(to, abs(x) < 0x1p-126f ? Vec{} : x);',
      replace: 'store(to, abs(x) < 0x0p-126f ? Vec{} : x);',
      caught: 'bfloat16 on avx512bf16 numbers at the ends of the range, and 11 more',
    },
    {
      name: 'bfloat16-order',
      breaks: 'levels without an instruction for pairs add the first product first',
      find: 'fma(broadcast(x.first), weights.first, fma(broadcast(x.second), weights.second, sum))',
      replace: 'fma(broadcast(x.second), weights.second, fma(broadcast(x.first), weights.first, sum))',
      caught: 'in bfloat16 levels with multiply-adds have the same bits',
    },
    {
      name: 'bfloat16-last-pair',
      breaks: 'the last number is skipped if it has no partner',
      find: 'return divide_up(k, 2); }',
      replace: 'return k / 2; }',
      caught: 'bfloat16 on avx512bf16 1 rows, 1 inputs, 1 outputs, and 97 more',
    },
    {
      name: 'bfloat16-rows-as-they-are',
      breaks: 'rows are truncated instead of rounded',
      find: 'round(load_n(x + p, count), rounded);',
      replace: 'round(as_float(as_int(load_n(x + p, count)) & -65536), rounded);',
      caught: 'bfloat16 on avx512bf16 1 rows, 1 inputs, 1 outputs, and 71 more',
    },
  ]),

  ...faults('cpu/linear/linear.cc', 'ops/linear/linear', [
    {
      name: 'linear-grad-weight-overwritten',
      breaks: 'the gradient of a weight is overwritten instead of added to',
      find: '.accumulate = true};',
      replace: '.accumulate = false};',
      caught: 'avx512 1 rows, 1 inputs, 1 outputs, and 26 more',
    },
  ]),

  ...faults('cpu/linear/softcap.h', 'ops/sampling/fused-draw', [
    {
      name: 'softcap-scale',
      breaks: 'softcap leaves the logits between -1 and 1',
      find: 'tanh(load_n(logits + i, lanes) / cap) * cap',
      replace: 'tanh(load_n(logits + i, lanes) / cap)',
      caught: 'fused draws on avx512 with a softcap of 0.5 are those of the capped logits, and 5 more',
    },
  ]),
];
