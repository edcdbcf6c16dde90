// What `npm run mutate` breaks, one at a time, and which tests must notice.

/** One fault to put into a kernel. */
export interface Mutation {
  /** The kernel, then the fault. */
  name: string;
  breaks: string;
  file: string;
  /** Stands in the file exactly once. */
  find: string;
  replace: string;
  /** The tests that must fail. */
  test: string;
}

export type Fault = [name: string, breaks: string, find: string, replace: string, test?: string];

/** Faults in one source file under csrc, caught by `test` unless they name another file of test/ops. */
export function faults(source: string, test: string, list: readonly Fault[]): Mutation[] {
  return list.map(([name, breaks, find, replace, other]) => ({
    ...{ name, breaks, find, replace },
    file: `csrc/${source}`,
    test: `test/ops/${other ?? test}.test.ts`,
  }));
}

const extremes = 'loss/linear-cross-entropy-extremes';
const nothingToDraw = 'sampling/nothing-to-draw';
const heads = 'loss/linear-cross-entropy-heads';
const gradients = 'loss/linear-cross-entropy-gradients';

/** Those of one file stand together, so that it is built once for each and not once more to restore it. */
export const mutations: readonly Mutation[] = [
  ...faults('cpu/loss/linear_cross_entropy.cc', 'loss/linear-cross-entropy', [
    [
      'loss-last-vector',
      'a logit behind the row counts',
      'for (int64_t j = vocab; j < width; ++j) z[j] = -INFINITY;',
      'for (int64_t j = vocab + 1; j < width; ++j) z[j] = -INFINITY;',
    ],
    [
      'loss-smoothing-last-logit',
      'label smoothing leaves out the last logit of a block',
      'for (int64_t j = block; j < end; ++j) part += z[j] - top;',
      'for (int64_t j = block; j + 1 < end; ++j) part += z[j] - top;',
    ],
    [
      'loss-smoothing-coefficient',
      'label smoothing does not lower the weight of the target',
      'double loss = (1 - smoothing) * nll;',
      'double loss = nll;',
    ],
    [
      'loss-smoothing-target-gradient',
      'the target gets no share of label smoothing in the gradient',
      '-others.sum / sum + smoothing - spread +',
      '-others.sum / sum + smoothing +',
    ],
    [
      'loss-z-gradient',
      'the factor 2 of the gradient of z-loss',
      'const double extra = 2 * static_cast<double>(options.z_loss) * lse',
      'const double extra = static_cast<double>(options.z_loss) * lse',
    ],
    [
      'loss-lse-maximum',
      'lse without the largest logit',
      'const double lse = static_cast<double>(top) + log_sum;',
      'const double lse = log_sum;',
    ],
    [
      'loss-softcap-derivative',
      'the derivative of softcap',
      'gradient = gradient * (broadcast(1.0f) - ratio * ratio);',
      'gradient = gradient * (broadcast(1.0f) - 0.0f * ratio);',
    ],
    [
      'loss-softcap-target-derivative',
      'the derivative of softcap, at the target alone',
      'own_gradient *= 1 - ratio * ratio;',
      'own_gradient *= 1 - 0 * ratio;',
    ],
    [
      'loss-entropy-sign',
      'the sign of the entropy term',
      'loss += static_cast<double>(options.entropy_weight) * entropy;',
      'loss -= static_cast<double>(options.entropy_weight) * entropy;',
    ],
    [
      'loss-entropy-gradient',
      'log p without its log Σ in the gradient of entropy',
      'slope * (entropy - log_sum)',
      'slope * entropy',
    ],
    [
      'loss-entropy-target',
      'the entropy leaves out the target',
      '(others.weighted + own_weight * own_t) / sum',
      'others.weighted / sum',
    ],
    [
      'loss-floor',
      'e^t is not zero where it should be nearly so',
      'constexpr float kFloor = -200.0f;',
      'constexpr float kFloor = -20.0f;',
      extremes,
    ],
    [
      'loss-log1p',
      'a tiny loss from the logarithm of a rounded 1 + x',
      'own_distance == 0 ? ::log1p(others.sum) : ::log(sum)',
      '::log(sum)',
      extremes,
    ],
    [
      'loss-one-minus-p',
      '1 - p(target) as a difference of large numbers',
      'double own_gradient = -others.sum / sum +',
      'double own_gradient = own_weight / sum - 1 +',
      extremes,
    ],
    [
      'loss-row-block',
      'sums over the vocabulary in float32 to their end',
      'constexpr int64_t kBlock = 1024;',
      'constexpr int64_t kBlock = 1 << 20;',
      extremes,
    ],
    [
      'loss-argmax-tie',
      'the last block wins a tie, and not the first',
      'if (value > result.value) result = {value, block};',
      'if (value >= result.value) result = {value, block};',
      extremes,
    ],
    [
      'loss-rank-before',
      'equal logits before the target do not rank before it',
      'better += z[j] >= own;',
      'better += z[j] > own;',
      extremes,
    ],
    [
      'loss-rank-behind',
      'equal logits behind the target rank before it',
      'for (int64_t j = target + 1; j < vocab; ++j) better += z[j] > own;',
      'for (int64_t j = target + 1; j < vocab; ++j) better += z[j] >= own;',
      extremes,
    ],
    [
      'loss-ignored-counted',
      'ignored rows count in a head',
      'count += !is_ignored(args, row);',
      'count += 1;',
      heads,
    ],
    [
      'loss-mean-of-all',
      'the mean over all rows, not over the valid ones',
      'weight /= static_cast<double>(valid_rows);',
      'weight /= static_cast<double>(args.rows);',
      heads,
    ],
    [
      'loss-mean-per-head',
      'the mean of a head over the rows of all heads',
      'weight /= static_cast<double>(args.head_count[head]);',
      'weight /= static_cast<double>(valid_rows);',
      heads,
    ],
    [
      'loss-coefficients',
      'coefficients of rows',
      'args.coefficients ? static_cast<double>(args.coefficients[row]) : 1;',
      '1;',
      heads,
    ],
    [
      'loss-head-weight-gradient',
      'the weight of a head in the gradient',
      'process_row(args, chunk.rows[i], chunk.weights[i],',
      'process_row(args, chunk.rows[i], chunk.weights[i] / (args.head_weights ? static_cast<double>(args.head_weights[chunk.rows[i] / (args.rows / args.heads)]) : 1.0),',
      heads,
    ],
    [
      'loss-float32-total',
      'totals summed in float32',
      'double head_loss_ = 0, total_ = 0;',
      'float head_loss_ = 0, total_ = 0;',
      heads,
    ],
    [
      'loss-grad-weight-overwritten',
      'the gradient of the unembedding is not added to what is there',
      '.c = args.grad_weight,\n                              .c_stride = dim,\n                              .accumulate = true};',
      '.c = args.grad_weight,\n                              .c_stride = dim,\n                              .accumulate = false};',
      gradients,
    ],
    [
      'loss-bias-gradient',
      'the gradient of the last bias',
      'add_column_sums(context, chunk.logits, size, vocab,',
      'add_column_sums(context, chunk.logits, size, vocab - 1,',
      gradients,
    ],
    [
      'loss-one-accumulator',
      'the gradient of a hidden state has one accumulator for the whole vocabulary',
      '.pieces = true};',
      '.pieces = false};',
      'loss/linear-cross-entropy-long-sums',
    ],
    [
      'loss-ignored-gradient',
      'the last column of the gradient of an ignored row is left as it was',
      'static_cast<size_t>(row) * row_bytes, 0, row_bytes);',
      'static_cast<size_t>(row) * row_bytes, 0, row_bytes - 4);',
      gradients,
    ],
  ]),

  ...faults('cpu/linear/gemm.cc', 'linear/linear', [
    [
      'gemm-bias-per-block',
      'the bias is added once for every block of k',
      'const float* bias = g.bias && last ? g.bias + col : nullptr;',
      'const float* bias = g.bias ? g.bias + col : nullptr;',
    ],
    [
      'gemm-k-remainder',
      'the last block of k, where it is smaller than the others',
      '} while (first < g.k);',
      '} while (first + blocks.depth <= g.k);',
    ],
    [
      'gemm-overwrites-block',
      'a later block of k overwrites the sums of the earlier ones',
      'const bool accumulate = g.accumulate || first > 0,',
      'const bool accumulate = g.accumulate,',
    ],
    [
      'gemm-pieces',
      'the pieces of a sum have one accumulator',
      'if (g.pieces && accumulate) {',
      'if (g.pieces && accumulate && depth < kPiece) {',
      'loss/linear-cross-entropy-long-sums',
    ],
    [
      'gemm-column-sums',
      'the first row of a bias gradient',
      'for (int64_t i = 0; i < m; ++i) {\n      const float* row = x + i * stride;',
      'for (int64_t i = 1; i < m; ++i) {\n      const float* row = x + i * stride;',
    ],
  ]),
  ...faults('cpu/linear/gemm_dot.cc', 'linear/dot-formats', [
    [
      'words-block-of-rows',
      'a later block of rows is written where the first one is',
      'f(row + begin, static_cast<int>',
      'f(begin, static_cast<int>',
    ],
    [
      'words-bias-column',
      'every panel has the bias of the first one',
      'g.bias ? g.bias + col : nullptr);',
      'g.bias ? g.bias + 0 * col : nullptr);',
    ],
    [
      'words-embedding-column',
      'an embedding is that of the first token of its panel',
      'panels.dtype), k, col % kLanes, out);',
      'panels.dtype), k, 0 * col, out);',
    ],
  ]),
  ...faults('cpu/linear/dot_int8.h', 'linear/dot-formats', [
    [
      'int8-first-sum',
      'what weights have too much, so as to be unsigned, is not taken off again',
      'words[r] = -kOffset * sum;',
      'words[r] = 0 * sum;',
    ],
    [
      'int8-row-scale',
      'all rows of a tile have the scale of the first one',
      'scale * broadcast(row_scales[r])',
      'scale * broadcast(row_scales[0])',
    ],
    [
      'int8-last-group',
      'the last group, where it is smaller than the others',
      'return divide_up(k, kGroup); }',
      'return larger(1, k / kGroup); }',
    ],
    [
      'int8-scale-as-stored',
      'weights are counted in a scale that is not the one that is stored',
      'quantize(from, count, to_float(stored), integers);',
      'quantize(from, count, scale_for(largest_bits(from, count)), integers);',
    ],
    [
      'int8-not-finite',
      'infinity and NaN have a scale like other numbers',
      'if (bits >= 0x7f800000) return __builtin_nanf("");',
      'if (bits >= 0x7f800001) return 0;',
    ],
    [
      'int8-tiny-scale',
      'a group whose scale has no inverse is divided by it',
      'return scale < kSmallestScale ? 0 : scale;',
      'return scale;',
    ],
    [
      'int8-whole-group',
      'the numbers behind a group that ends early count for its scale',
      'load_n(x + i, count - i < kLanes ? count - i : kLanes)',
      'load_n(x + i, kLanes)',
    ],
  ]),
  ...faults('cpu/linear/dot_bfloat16.h', 'linear/dot-formats', [
    [
      'bfloat16-denormal',
      'denormal numbers are rounded like others',
      'store(to, abs(x) < 0x1p-126f ? Vec{} : x);',
      'store(to, abs(x) < 0x0p-126f ? Vec{} : x);',
    ],
    [
      'bfloat16-order',
      'levels without an instruction for pairs take the first product first',
      'fma(broadcast(x.first), weights.first, fma(broadcast(x.second), weights.second, sum))',
      'fma(broadcast(x.second), weights.second, fma(broadcast(x.first), weights.first, sum))',
    ],
    [
      'bfloat16-last-pair',
      'the last number, where it has no second one',
      'return divide_up(k, 2); }',
      'return k / 2; }',
    ],
    [
      'bfloat16-rows-as-they-are',
      'rows are cut off, and not rounded',
      'round(load_n(x + p, count), rounded);',
      'round(as_float(as_int(load_n(x + p, count)) & -65536), rounded);',
    ],
  ]),
  ...faults('cpu/linear/linear.cc', 'linear/linear', [
    [
      'linear-grad-weight-overwritten',
      'the gradient of a weight is not added to what is there',
      '.accumulate = true};',
      '.accumulate = false};',
    ],
  ]),

  ...faults('cpu/attention/attention.cc', 'attention/attention', [
    [
      'attention-scale',
      'the scale of the scores',
      'dim, scale, scratch.queries);\n      dot_keys(scratch.queries, block.rows, dim, scratch.keys + block.base * dim, block.groups, scratch.scores,',
      'dim, 1, scratch.queries);\n      dot_keys(scratch.queries, block.rows, dim, scratch.keys + block.base * dim, block.groups, scratch.scores,',
    ],
    [
      'attention-causal',
      'every row but the last of a block looks one row ahead',
      'end = row + 1 - block.base;\n        float* const scores',
      'end = row + 1 + (i + 1 < block.rows) - block.base;\n        float* const scores',
    ],
    [
      'attention-maximum',
      'exponentials of scores without the largest',
      'const float largest = row_max(scores, begin, end);',
      'const float largest = 0.0f * row_max(scores, begin, end);',
    ],
    [
      'attention-document-start',
      'rows attend from where the document of the first row of their block starts',
      'begin = starts[row] - block.base, end = row + 1 - block.base;\n        float* const scores',
      'begin = starts[first] - block.base, end = row + 1 - block.base;\n        float* const scores',
    ],
    [
      'attention-backward-delta',
      'the term of softmax that the gradients of a row share',
      'weights[j] * (grad_scores[j] - delta)',
      'weights[j] * grad_scores[j]',
    ],
    [
      'attention-backward-scale',
      'the scale of the gradient of queries',
      'scale_row(scratch.grad_queries + i * dim, scale, dim,',
      'scale_row(scratch.grad_queries + i * dim, 1, dim,',
    ],
    [
      'attention-backward-document',
      'the gradient of values reaches the last row of the document before',
      'exponentiate(weights, begin, end,',
      'exponentiate(weights, begin > 0 ? begin - 1 : begin, end,',
    ],
  ]),
  ...faults('cpu/attention/tree_attention.cc', 'attention/tree-attention', [
    [
      'tree-attention-ancestor',
      'the row before stands for the ancestor',
      'row = tree.parents[row]) {',
      '--row) {',
    ],
    [
      'tree-attention-shared',
      'the positions that a block shares are those of its last row',
      'for (int64_t r = row_of(0); r < last_row; ++r) {',
      'for (int64_t r = last_row; r < last_row; ++r) {',
    ],
    [
      'tree-attention-own-key',
      'a row does not attend to itself unless it is the root',
      'const float largest = row_max(scores, 0, positions);',
      'if (places[row].depth > 0) scores[positions - 1] = -1e30f;\n      const float largest = row_max(scores, 0, positions);',
    ],
  ]),
  ...faults('cpu/attention/kv_cache.cc', 'attention/kv-cache', [
    [
      'kv-compact-values',
      'moved rows keep the values of their new place',
      '__builtin_memcpy(plane.value(to), plane.value(from),',
      '__builtin_memcpy(plane.value(from), plane.value(to),',
    ],
    [
      'kv-compact-last-group',
      'keys that move out of a narrower last group',
      'out[d * out_width] = in[d * in_width];',
      'out[d * out_width] = in[d * out_width];',
    ],
    [
      'kv-compact-last-row',
      'the last accepted row is not moved',
      'for (int64_t i = 0; i < args.counts[s]; ++i) {',
      'for (int64_t i = 0; i + 1 < args.counts[s]; ++i) {',
    ],
  ]),

  ...faults('cpu/layers/rms_norm.cc', 'layers/rms-norm', [
    [
      'rms-norm-eps',
      'eps is added to the root and not under it',
      '1 / __builtin_sqrt(mean + static_cast<double>(args.eps))',
      '1 / (__builtin_sqrt(mean) + static_cast<double>(args.eps))',
    ],
    [
      'rms-norm-backward-mean',
      'the gradient through the norm',
      'return scale * fma(-mean, x * scale, grad * weight);',
      'return scale * fma(0.0f * mean, x * scale, grad * weight);',
    ],
    [
      'rms-norm-backward-rstd',
      'one factor 1/rms of the gradient through the norm',
      'broadcast(product * rstd / static_cast<float>(dim))',
      'broadcast(product / static_cast<float>(dim))',
    ],
    [
      'rms-norm-weight-last-block',
      'the last of several blocks of rows in the gradient of the weight',
      'for (int64_t block = 0; block < blocks; ++block) {',
      'for (int64_t block = 0; block + (blocks > 1) < blocks; ++block) {',
    ],
  ]),
  ...faults('cpu/layers/rope.cc', 'layers/rope', [
    [
      'rope-sign',
      'the second half turns the wrong way',
      'return second * cos + first * (sign * sin);',
      'return second * cos - first * (sign * sin);',
    ],
    ['rope-inverse', 'backward turns forward', 'broadcast(args.inverse ? -1.0f : 1.0f)', 'broadcast(1.0f)'],
  ]),
  ...faults('cpu/layers/elementwise.cc', 'layers/elementwise', [
    [
      'silu-slope',
      's for 1 - s in the derivative of silu',
      'fma(x, s.rest, broadcast(1.0f))',
      'fma(x, s.value, broadcast(1.0f))',
    ],
    [
      'silu-slope-cancellation',
      '1 - sigmoid(x) as a difference',
      'return {x < 0.0f ? small : large, x < 0.0f ? large : small};',
      'return {x < 0.0f ? small : large, 1.0f - (x < 0.0f ? small : large)};',
    ],
    [
      'swiglu-backward-up',
      'the gate in the gradient of what it lets through',
      'store_n(grad_up + i, upstream * g * s.value, lanes);',
      'store_n(grad_up + i, upstream * s.value, lanes);',
    ],
  ]),
  ...faults('cpu/layers/embedding.cc', 'layers/embedding', [
    [
      'embedding-backward-last-row',
      'the gradient of the last token',
      'for (int64_t r = 0; r < args.rows; ++r) {',
      'for (int64_t r = 0; r + 1 < args.rows; ++r) {',
    ],
  ]),

  ...faults('cpu/sampling/process_logits.cc', 'sampling/sampling', [
    [
      'sampling-top-p-boundary',
      'top-p keeps one token more than it needs, where one stands on the boundary',
      'double left = enough - above;',
      'double left = enough - above + 1e-3;',
    ],
    ['sampling-top-p-nothing', 'top-p of 0 keeps nothing', 'enough > 1 ? enough : 1', 'enough'],
    [
      'sampling-tie',
      'top-k keeps what equals its last token',
      'if (z[v] == threshold && left > 0) {',
      'if (z[v] == threshold && left >= 0) {',
    ],
    [
      'sampling-min-p-boundary',
      'min-p drops what stands on its boundary',
      'if (!(z[v] >= lowest))',
      'if (!(z[v] > lowest))',
    ],
    [
      'sampling-penalty-twice',
      'penalties are applied twice',
      'if (has_penalties(options)) apply_penalties(z, vocab, options, scratch.seen);',
      'for (int i = 0; has_penalties(options) && i < 2; ++i) apply_penalties(z, vocab, options, scratch.seen);',
    ],
    [
      'sampling-presence-of-prompt',
      'the presence penalty counts tokens of the prompt',
      '(count > 0 ? options.presence_penalty : 0)',
      'options.presence_penalty',
    ],
    [
      'sampling-noise-place',
      'the noise of a run that begins with excluded tokens',
      'gumbel_noise(seed, position, i - offset, noise);',
      'gumbel_noise(seed, position, i, noise);',
    ],
    [
      'sampling-noise-position',
      'the noise is that of the next position',
      'gumbel_noise(seed, position, i - offset, noise);',
      'gumbel_noise(seed, position + 1, i - offset, noise);',
    ],
  ]),
  ...faults('cpu/sampling/sampling.cc', nothingToDraw, [
    [
      'sampling-nothing-to-draw',
      'a row without a token to draw is not reported',
      'if (tokens[r] != kNoToken) continue;',
      'if (tokens[r] != kNoToken || r >= 0) continue;',
    ],
  ]),
  ...faults('cpu/sampling/fused_draw.cc', 'sampling/fused-draw', [
    [
      'fused-draw-noise-tile',
      'every tile of columns has the noise of the first',
      'gumbel_noise(draw.seed, positions[r], first + i, noise + i);',
      'gumbel_noise(draw.seed, positions[r], i, noise + i);',
    ],
  ]),
  ...faults('cpu/sampling/verify_tree.cc', 'sampling/verify-tree', [
    [
      'verify-tree-first-child',
      'the walk steps to the first child, whatever its token',
      'if (args.tree.parents[child] == row && args.tokens[child] == token) return child;',
      'if (args.tree.parents[child] == row) return child;',
    ],
    [
      'verify-tree-position',
      'the root draws with the noise of its own position, not of the next',
      'parent < 0 ? tree.lengths[s] + 1 :',
      'parent < 0 ? tree.lengths[s] :',
    ],
    [
      'verify-tree-root-counted',
      'the token of the root counts twice in the penalties',
      'if (has_penalties(args.options) && row != args.tree.row_offsets[s]) seen.add',
      'if (has_penalties(args.options)) seen.add',
    ],
    [
      'verify-tree-nothing-to-draw',
      'a root without a token to draw is not reported',
      'return report_nothing_to_draw(context, "verifyTree",',
      'if (s < 0) report_nothing_to_draw(context, "verifyTree",',
      nothingToDraw,
    ],
    [
      'verify-tree-nothing-below-root',
      'a node without a token to draw is part of the path',
      'if (token == kNoToken) break;',
      'if (token == kNoToken && row == root) break;',
      nothingToDraw,
    ],
  ]),
  ...faults('cpu/sampling/top_k.cc', 'sampling/top-k', [
    [
      'top-k-tie-order',
      'ties are ranked from the highest index down',
      'values[a] == value && indices[a] > index',
      'values[a] == value && indices[a] < index',
    ],
    [
      'top-k-tie-newcomer',
      'a later entry drives out its equal',
      'if (x[i] > heap.values[0]) heap.sink',
      'if (x[i] >= heap.values[0]) heap.sink',
    ],
  ]),
  ...faults('cpu/optimizer/optimizer.cc', 'optimizer/optimizer', [
    [
      'adamw-bias-correction-1',
      'the bias correction of the first moment',
      'static_cast<float>(args.lr / args.bias_correction1)',
      'static_cast<float>(args.lr)',
    ],
    [
      'adamw-bias-correction-2',
      'the bias correction of the second moment',
      '__builtin_sqrt(args.bias_correction2)',
      'args.bias_correction2',
    ],
    [
      'adamw-float32-rest',
      '1 - β₂ as a difference in float32',
      'static_cast<float>(1 - args.beta2)',
      '1 - static_cast<float>(args.beta2)',
    ],
    [
      'adamw-decay',
      'weight decay without the learning rate',
      'static_cast<float>(1 - args.lr * args.weight_decay)',
      'static_cast<float>(1 - args.weight_decay)',
    ],
    [
      'adamw-decay-order',
      'the update decays, too',
      'fma(-step, update, decay * load_n(args.param + i, lanes))',
      'decay * fma(-step, update, load_n(args.param + i, lanes))',
    ],
    [
      'adamw-eps',
      'eps is added before the bias correction',
      'sqrt(v) / root2 + eps',
      '(sqrt(v) + eps) / root2',
    ],
    ['clip-eps', 'the 10⁻⁶ beside the norm', '(norm + 1e-6)', 'norm'],
    [
      'norm-float32-total',
      'the parts of a sum of squares are summed in float32',
      'double total = 0;\n  for (int64_t part = 0;',
      'float total = 0;\n  for (int64_t part = 0;',
    ],
  ]),

  // These rebuild every kernel.
  ...faults('cpu/sampling/gumbel.h', 'sampling/sampling', [
    [
      'gumbel-half',
      'the noise of x / 2³², and not of (x + ½) / 2³²',
      '(to_float(upper ? ~x : x) + 0.5f) * 0x1p-32f',
      'to_float(upper ? ~x : x) * 0x1p-32f',
    ],
  ]),
  ...faults('cpu/sampling/draw.h', 'sampling/fused-draw', [
    [
      'draw-softcap-scale',
      'softcap leaves the logits between -1 and 1',
      'tanh(load_n(logits + i, lanes) / cap) * cap',
      'tanh(load_n(logits + i, lanes) / cap)',
    ],
    [
      'draw-tile-tie',
      'of equal logits, that of the last tile is drawn',
      'if (other.value > value) *this = other;',
      'if (other.value >= value) *this = other;',
    ],
    [
      'draw-lane-tie',
      'of equal logits in one vector, the first lane wins',
      '(values[lane] == best.value && ids[lane] < best.id)',
      '(values[lane] == best.value && ids[lane] < 0)',
    ],
  ]),
  ...faults('cpu/simd.h', 'layers/elementwise', [
    [
      'exp-sixth-digit',
      'the sixth digit of a coefficient of exp',
      'p = fma(p, r, broadcast(0.5f));',
      'p = fma(p, r, broadcast(0.500001f));',
    ],
    [
      'exp-last-term',
      'the last term of the series of exp',
      'Vec p = broadcast(1.0f / 5040);',
      'Vec p = broadcast(0.0f);',
    ],
    [
      'exp-reduction',
      'the fifth digit of the small part of ln 2 in exp',
      'r = fma(n, broadcast(2.12194440e-4f), r);',
      'r = fma(n, broadcast(2.1219e-4f), r);',
    ],
    [
      'log-fifth-digit',
      'the fifth digit of a coefficient of log',
      'series = fma(series, s2, broadcast(2.0f / 3));',
      'series = fma(series, s2, broadcast(0.66661f));',
      'attention/attention',
    ],
    [
      'bfloat16-tie',
      'a tie is rounded up to bfloat16, and not to even',
      '(bits + 0x7fff + ((bits >> 16) & 1)) >> 16',
      '(bits + 0x8000) >> 16',
    ],
  ]),
  ...faults('core/tensor.h', 'zero-sizes', [
    [
      'tensor-rows-without-elements',
      'a tensor without columns has no rows',
      'int64_t rows() const { return product(rank - 1); }',
      'int64_t rows() const { return count() == 0 ? 0 : product(rank - 1); }',
    ],
  ]),
];
