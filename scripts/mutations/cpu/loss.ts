import { faults, type Mutation } from '../mutation';

export const loss: readonly Mutation[] = [
  ...faults('cpu/loss/linear_cross_entropy.cc', 'ops/loss/linear-cross-entropy', [
    {
      name: 'loss-last-vector',
      breaks: 'a logit past the end of the row counts',
      find: 'for (int64_t j = vocab; j < width; ++j) z[j] = -INFINITY;',
      replace: 'for (int64_t j = vocab + 1; j < width; ++j) z[j] = -INFINITY;',
      caught: 'avx512, 1 threads 1 rows, dim 1, vocabulary 1, and 188 more',
    },
    {
      name: 'loss-smoothing-last-logit',
      breaks: 'label smoothing leaves out the last logit of a block',
      find: 'for (int64_t j = block; j < end; ++j) part += z[j] - top;',
      replace: 'for (int64_t j = block; j + 1 < end; ++j) part += z[j] - top;',
      caught: 'avx512, 1 threads label smoothing, and 44 more',
    },
    {
      name: 'loss-smoothing-coefficient',
      breaks: 'label smoothing does not lower the weight of the target',
      find: 'double loss = (1 - smoothing) * nll;',
      replace: 'double loss = nll;',
      caught: 'avx512, 1 threads label smoothing, and 44 more',
    },
    {
      name: 'loss-smoothing-target-gradient',
      breaks: 'the target gets no share of label smoothing in the gradient',
      find: '-others.sum / sum + smoothing - spread +',
      replace: '-others.sum / sum + smoothing +',
      caught: 'avx512, 1 threads label smoothing, and 44 more',
    },
    {
      name: 'loss-z-gradient',
      breaks: 'the gradient of z-loss lacks the factor 2',
      find: 'const double extra = 2 * static_cast<double>(options.z_loss) * lse',
      replace: 'const double extra = static_cast<double>(options.z_loss) * lse',
      caught: 'avx512, 1 threads z-loss, and 17 more',
    },
    {
      name: 'loss-lse-maximum',
      breaks: 'lse lacks the largest logit',
      find: 'const double lse = static_cast<double>(top) + log_sum;',
      replace: 'const double lse = log_sum;',
      caught: 'avx512, 1 threads 1 rows, dim 1, vocabulary 1, and 197 more',
    },
    {
      name: 'loss-softcap-derivative',
      breaks: 'the derivative of softcap is 1',
      find: 'gradient = gradient * (broadcast(1.0f) - ratio * ratio);',
      replace: 'gradient = gradient * (broadcast(1.0f) - 0.0f * ratio);',
      caught: 'avx512, 1 threads softcap, and 17 more',
    },
    {
      name: 'loss-softcap-target-derivative',
      breaks: 'the derivative of softcap at the target is 1',
      find: 'own_gradient *= 1 - ratio * ratio;',
      replace: 'own_gradient *= 1 - 0 * ratio;',
      caught: 'avx512, 1 threads softcap, and 17 more',
    },
    {
      name: 'loss-entropy-sign',
      breaks: 'the entropy term has the wrong sign',
      find: 'loss += static_cast<double>(options.entropy_weight) * entropy;',
      replace: 'loss -= static_cast<double>(options.entropy_weight) * entropy;',
      caught: 'avx512, 1 threads entropy bonus, and 26 more',
    },
    {
      name: 'loss-entropy-gradient',
      breaks: 'log p lacks its log Σ in the gradient of entropy',
      find: 'slope * (entropy - log_sum)',
      replace: 'slope * entropy',
      caught: 'avx512, 1 threads entropy bonus, and 26 more',
    },
    {
      name: 'loss-entropy-target',
      breaks: 'the entropy leaves out the target',
      find: '(others.weighted + own_weight * own_t) / sum',
      replace: 'others.weighted / sum',
      caught: 'avx512, 1 threads 1 rows, dim 1, vocabulary 2, and 188 more',
    },
  ]),

  ...faults('cpu/loss/linear_cross_entropy.cc', 'ops/loss/linear-cross-entropy-extremes', [
    {
      name: 'loss-floor',
      breaks: 'e^t becomes zero for t below -20, and not below -200',
      find: 'constexpr float kFloor = -200.0f;',
      replace: 'constexpr float kFloor = -20.0f;',
      caught: 'avx512 p(target) near 0.999, and 23 more',
    },
    {
      name: 'loss-log1p',
      breaks: 'a tiny loss is the logarithm of a rounded 1 + x',
      find: 'own_distance == 0 ? ::log1p(others.sum) : ::log(sum)',
      replace: '::log(sum)',
      caught: 'avx512 p(target) near 0.9999999999999, and 2 more',
    },
    {
      name: 'loss-one-minus-p',
      breaks: '1 - p(target) is computed as a difference of large numbers',
      find: 'double own_gradient = -others.sum / sum +',
      replace: 'double own_gradient = own_weight / sum - 1 +',
      caught: 'avx512 p(target) near 0.9999999999999, and 2 more',
    },
    {
      name: 'loss-row-block',
      breaks: 'sums over the whole vocabulary are float32',
      find: 'constexpr int64_t kBlock = 1024;',
      replace: 'constexpr int64_t kBlock = 1 << 20;',
      caught: 'avx512 a vocabulary of 200 000 tokens adds up no rounding errors, and 2 more',
    },
    {
      name: 'loss-argmax-tie',
      breaks: 'of tied blocks, the last wins instead of the first',
      find: 'if (value > result.value) result = {value, block};',
      replace: 'if (value >= result.value) result = {value, block};',
      caught: 'avx512 1500 identical logits, and 2 more',
    },
    {
      name: 'loss-rank-before',
      breaks: 'equal logits before the target do not rank before it',
      find: 'better += z[j] >= own;',
      replace: 'better += z[j] > own;',
      caught: 'avx512 2 identical logits, and 23 more',
    },
    {
      name: 'loss-rank-behind',
      breaks: 'equal logits after the target rank before it',
      find: 'for (int64_t j = target + 1; j < vocab; ++j) better += z[j] > own;',
      replace: 'for (int64_t j = target + 1; j < vocab; ++j) better += z[j] >= own;',
      caught: 'avx512 logits beyond the range of float16, and of each other, and 26 more',
    },
  ]),

  ...faults('cpu/loss/linear_cross_entropy.cc', 'ops/loss/linear-cross-entropy-heads', [
    {
      name: 'loss-ignored-counted',
      breaks: 'the count of a head includes ignored rows',
      find: 'count += !is_ignored(args, row);',
      replace: 'count += 1;',
      caught: 'reduction sum no row has a target: zero loss, zero counts, zero gradients, and 34 more',
    },
    {
      name: 'loss-mean-of-all',
      breaks: 'the mean is over all rows, not over the valid ones',
      find: 'weight /= static_cast<double>(valid_rows);',
      replace: 'weight /= static_cast<double>(args.rows);',
      caught: 'reduction mean one head without targets, and 15 more',
    },
    {
      name: 'loss-mean-per-head',
      breaks: 'the mean of a head is over the rows of all heads',
      find: 'weight /= static_cast<double>(args.head_count[head]);',
      replace: 'weight /= static_cast<double>(valid_rows);',
      caught: 'reduction meanPerHead one head without targets, and 4 more',
    },
    {
      name: 'loss-coefficients',
      breaks: 'coefficients of rows are ignored',
      find: 'args.coefficients ? static_cast<double>(args.coefficients[row]) : 1;',
      replace: '1;',
      caught: 'reduction sum one head without targets, and 28 more',
    },
    {
      name: 'loss-head-weight-gradient',
      breaks: 'the gradient lacks the weight of the head',
      find: 'process_row(args, chunk.rows[i], chunk.weights[i],',
      replace:
        'process_row(args, chunk.rows[i], chunk.weights[i] / (args.head_weights ? static_cast<double>(args.head_weights[chunk.rows[i] / (args.rows / args.heads)]) : 1.0),',
      caught: 'reduction sum head weights unequal, and 13 more',
    },
    {
      name: 'loss-float32-total',
      breaks: 'totals are summed in float32',
      find: 'double head_loss_ = 0, total_ = 0;',
      replace: 'float head_loss_ = 0, total_ = 0;',
      caught: 'losses of many equal rows add up without rounding errors',
    },
  ]),

  ...faults('cpu/loss/linear_cross_entropy.cc', 'ops/loss/linear-cross-entropy-gradients', [
    {
      name: 'loss-grad-weight-overwritten',
      breaks: 'the gradient of the unembedding is overwritten instead of added to',
      find: '.c = args.grad_weight,\n                              .c_stride = dim,\n                              .accumulate = true};',
      replace:
        '.c = args.grad_weight,\n                              .c_stride = dim,\n                              .accumulate = false};',
      caught: 'modes agree linearCrossEntropyBackward and the fused gradients, avx512, and 3 more',
    },
    {
      name: 'loss-bias-gradient',
      breaks: 'the last bias has no gradient',
      find: 'add_column_sums(context, chunk.logits, size, vocab,',
      replace: 'add_column_sums(context, chunk.logits, size, vocab - 1,',
      caught: 'upstream gradient 1, and 6 more',
    },
    {
      name: 'loss-ignored-gradient',
      breaks: 'the last column of the gradient of an ignored row is not cleared',
      find: 'row * row_bytes, 0, static_cast<size_t>(row_bytes));',
      replace: 'row * row_bytes, 0, static_cast<size_t>(row_bytes - 4));',
      caught: 'upstream gradient -0.5, and 11 more',
    },
  ]),

  ...faults('cpu/loss/linear_cross_entropy.cc', 'ops/loss/linear-cross-entropy-long-sums', [
    {
      name: 'loss-one-accumulator',
      breaks: 'the gradient of a hidden state has one accumulator for the whole vocabulary',
      find: '.pieces = true};',
      replace: '.pieces = false};',
      caught: 'the gradient of hidden states, random rows of 262144 logits avx512bf16, and 8 more',
    },
  ]),
];
