import { faults, type Mutation } from '../mutation';

export const sampling: readonly Mutation[] = [
  ...faults('cpu/sampling/process_logits.cc', 'ops/sampling/sampling', [
    {
      name: 'sampling-top-p-boundary',
      breaks: 'top-p keeps one token too many if a token is on the boundary',
      find: 'double left = enough - above;',
      replace: 'double left = enough - above + 1e-3;',
      caught: 'options on avx512 breaks ties in favour of the lowest tokens, and 2 more',
    },
    {
      name: 'sampling-top-p-nothing',
      breaks: 'top-p of 0 keeps nothing',
      find: 'enough > 1 ? enough : 1',
      replace: 'enough',
      caught: 'options on avx512 alone and together, with 6 tokens, and 14 more',
    },
    {
      name: 'sampling-tie',
      breaks: 'top-k keeps more tokens that tie with its last token',
      find: 'if (z[v] == threshold && left > 0) {',
      replace: 'if (z[v] == threshold && left >= 0) {',
      caught: 'options on avx512 breaks ties in favour of the lowest tokens, and 2 more',
    },
    {
      name: 'sampling-min-p-boundary',
      breaks: 'min-p drops tokens on its boundary',
      find: 'if (!(z[v] >= lowest))',
      replace: 'if (!(z[v] > lowest))',
      caught: 'options on avx512 alone and together, with 6 tokens, and 23 more',
    },
    {
      name: 'sampling-penalty-twice',
      breaks: 'penalties are applied twice',
      find: 'if (has_penalties(options)) apply_penalties(z, vocab, options, scratch.seen);',
      replace:
        'for (int i = 0; has_penalties(options) && i < 2; ++i) apply_penalties(z, vocab, options, scratch.seen);',
      caught: 'options on avx512 alone and together, with 6 tokens, and 17 more',
    },
    {
      name: 'sampling-presence-of-prompt',
      breaks: 'the presence penalty counts tokens of the prompt',
      find: '(count > 0 ? options.presence_penalty : 0)',
      replace: 'options.presence_penalty',
      caught: 'options on avx512 alone and together, with 6 tokens, and 14 more',
    },
    {
      name: 'sampling-noise-place',
      breaks: 'a run of tokens that begins with excluded tokens has the noise of other tokens',
      find: 'gumbel_noise(seed, position, i - offset, noise);',
      replace: 'gumbel_noise(seed, position, i, noise);',
      caught: 'noise on avx512 is that of Philox with seed 0 at position 0, and 24 more',
    },
    {
      name: 'sampling-noise-position',
      breaks: 'the noise is that of the next position',
      find: 'gumbel_noise(seed, position, i - offset, noise);',
      replace: 'gumbel_noise(seed, position + 1, i - offset, noise);',
      caught: 'noise on avx512 is that of Philox with seed 0 at position 0, and 33 more',
    },
  ]),

  ...faults('cpu/sampling/sampling.cc', 'ops/sampling/nothing-to-draw', [
    {
      name: 'sampling-nothing-to-draw',
      breaks: 'a row without a token to draw is not reported',
      find: 'if (tokens[r] != kNoToken) continue;',
      replace: 'if (tokens[r] != kNoToken || r >= 0) continue;',
      caught: 'on avx512bf16 no token is drawn from logits of NaN, and 23 more',
    },
  ]),

  ...faults('cpu/sampling/fused_draw.cc', 'ops/sampling/fused-draw', [
    {
      name: 'fused-draw-noise-tile',
      breaks: 'every tile of columns has the noise of the first',
      find: 'gumbel_noise(draw.seed, draw.position, first + i, noise + i);',
      replace: 'gumbel_noise(draw.seed, draw.position, i, noise + i);',
      caught: 'fused draws on avx512 of 512 tokens and 64 dimensions are those of the logits, and 11 more',
    },
  ]),

  ...faults('cpu/sampling/fused_draw.cc', 'ops/sampling/sampling-by-sequence', [
    {
      name: 'fused-draw-shared-noise',
      breaks: 'rows at the same position share noise although their seeds differ',
      find: 'a.position == b.position && a.seed == b.seed',
      replace: 'a.position == b.position',
      caught: 'on avx512bf16 argmaxes draw as alone, and 5 more',
    },
    {
      name: 'fused-draw-shared-temperature',
      breaks: 'rows that share noise share the temperature of the first',
      find: 'columns, first, draws[same].temperature, noise);',
      replace: 'columns, first, draw.temperature, noise);',
      caught: 'on avx512bf16 argmaxes over many tokens draw as alone, and 2 more',
    },
  ]),

  ...faults('core/sampling.h', 'ops/sampling/sampling-by-sequence', [
    {
      name: 'sampling-numbers-nan',
      breaks: 'NaN counts as a number within its range',
      find: 'x >= lowest && x <= highest ? x : otherwise',
      replace: 'x < lowest || x > highest ? otherwise : x',
      caught: 'on avx512bf16 numbers on the device that are out of range turn their options off, and 2 more',
    },
    {
      name: 'sampling-bias-of-first',
      breaks: 'every sequence has the biased tokens of the first',
      find: 'sampling.bias_tokens + sequence * room',
      replace: 'sampling.bias_tokens',
      caught: 'on avx512bf16 others draw as alone, and 14 more',
    },
  ]),

  ...faults('core/sampling.h', 'ops/sampling/verify-tree', [
    {
      name: 'sampling-numbers-seed',
      breaks: 'the upper half of the seed is ignored',
      find: 'uint64_t{given.seed_high} << 32 | given.seed_low',
      replace: 'given.seed_low',
      caught:
        'on avx512bf16 speculative output is plain output with {"temperature":0.7,"seed":"1099511627776n"}, and 5 more',
    },
  ]),

  ...faults('cpu/sampling/verify_tree.cc', 'ops/sampling/sampling-by-sequence', [
    {
      name: 'verify-tree-options-of-first',
      breaks: 'draws from whole rows use the options of the first sequence',
      find: 'const SamplingOptions options = options_of(args.sampling, s);\n    const LogitBias',
      replace: 'const SamplingOptions options = options_of(args.sampling, 0);\n    const LogitBias',
      caught: 'on avx512bf16 others draw as alone, and 14 more',
    },
    {
      name: 'verify-tree-fused-options-of-first',
      breaks: 'fused draws use the options of the first sequence',
      find: 'const SamplingOptions options = options_of(sampling, s);',
      replace: 'const SamplingOptions options = options_of(sampling, 0);',
      caught: 'on avx512bf16 two argmaxes draw as alone, and 8 more',
    },
  ]),

  ...faults('cpu/sampling/verify_tree.cc', 'ops/sampling/verify-tree', [
    {
      name: 'verify-tree-first-child',
      breaks: 'the walk steps to the first child regardless of its token',
      find: 'if (args.tree.parents[child] == row && args.tokens[child] == token) return child;',
      replace: 'if (args.tree.parents[child] == row) return child;',
      caught: 'on avx512 speculative output is plain output with {"temperature":0}, and 35 more',
    },
    {
      name: 'verify-tree-position',
      breaks: 'the root draws with the noise of its own position instead of the next',
      find: 'parent < 0 ? tree.lengths[s] + 1 :',
      replace: 'parent < 0 ? tree.lengths[s] :',
      caught: 'on avx512 speculative output is plain output with {"temperature":1}, and 23 more',
    },
    {
      name: 'verify-tree-root-counted',
      breaks: 'penalties count the token of the root twice',
      find: 'if (has_penalties(options) && row != args.tree.row_offsets[s]) seen.add',
      replace: 'if (has_penalties(options)) seen.add',
      caught:
        'on avx512 speculative output is plain output with {"temperature":1,"repetitionPenalty":2,"frequencyPenalty":0.8,"presencePenalty":-1}, and 5 more',
    },
    {
      name: 'verify-tree-padding',
      breaks: 'tokens of padding are checked',
      find: 'const int64_t rows = args.tree.row_offsets[args.tree.sequences];',
      replace: 'const int64_t rows = args.tree.rows;',
      caught: 'on avx512bf16 padding changes no path with {"temperature":0}, and 29 more',
    },
  ]),

  ...faults('cpu/sampling/verify_tree.cc', 'ops/sampling/nothing-to-draw', [
    {
      name: 'verify-tree-nothing-to-draw',
      breaks: 'a root without a token to draw is not reported',
      find: 'return report_nothing_to_draw(context, "verifyTree",',
      replace: 'if (s < 0) report_nothing_to_draw(context, "verifyTree",',
      caught:
        'on avx512bf16 a tree verified with {"temperature":0} names the first root from which nothing can be drawn, and 20 more',
    },
    {
      name: 'verify-tree-nothing-below-root',
      breaks: 'a node without a token to draw is part of the path',
      find: 'if (token == kNoToken) break;',
      replace: 'if (token == kNoToken && row == root) break;',
      caught:
        'on avx512bf16 a tree verified with {"temperature":0} ends before a node from which nothing can be drawn, and 20 more',
    },
  ]),

  ...faults('cpu/sampling/mask.h', 'ops/sampling/masks', [
    {
      name: 'mask-last-bit',
      breaks: 'the last token of a word may be drawn whatever the mask says',
      find: 'smaller(32, count - i)',
      replace: 'smaller(31, count - i)',
      caught:
        'on avx512bf16 walks are those of plain draws from masked logits with {"temperature":0}, and 71 more',
    },
  ]),

  ...faults('cpu/sampling/fused_draw.cc', 'ops/sampling/masks', [
    {
      name: 'fused-draw-mask-row',
      breaks: 'the rows of a block have the masks of the first block',
      find: 'mask_of_row(mask, row + r, vocab)',
      replace: 'mask_of_row(mask, r, vocab)',
      caught:
        'on avx512bf16 walks are those of plain draws from masked logits with {"temperature":0}, and 5 more',
    },
  ]),

  ...faults('cpu/sampling/verify_tree.cc', 'ops/sampling/masks', [
    {
      name: 'verify-tree-mask-of-root',
      breaks: 'every node has the mask of its root',
      find: 'mask_of_row(args.mask, row, vocab)',
      replace: 'mask_of_row(args.mask, args.tree.row_offsets[s], vocab)',
      caught:
        'on avx512bf16 walks are those of plain draws from masked logits with {"temperature":1,"topK":2}, and 35 more',
    },
  ]),

  ...faults('cpu/sampling/best_entries.h', 'ops/sampling/top-k', [
    {
      name: 'top-k-tie-order',
      breaks: 'ties are ranked from the highest index down',
      find: 'values[a] == value && indices[a] > index',
      replace: 'values[a] == value && indices[a] < index',
      caught: 'topK on avx512 of rows of 2, and 20 more',
    },
    {
      name: 'top-k-tie-newcomer',
      breaks: 'a later entry replaces an equal entry',
      find: 'if (value > values[0]) sink',
      replace: 'if (value >= values[0]) sink',
      caught: 'topK on avx512 of rows of 16, and 14 more',
    },
  ]),

  ...faults('cpu/sampling/gumbel.h', 'ops/sampling/sampling', [
    {
      name: 'gumbel-half',
      breaks: 'the noise is that of x / 2³² instead of (x + ½) / 2³²',
      find: '(to_float(upper ? ~x : x) + 0.5f) * 0x1p-32f',
      replace: 'to_float(upper ? ~x : x) * 0x1p-32f',
      caught: 'noise on avx512 is right at the ends of the range, position 850294815, and 5 more',
    },
  ]),

  ...faults('cpu/sampling/draw.h', 'ops/sampling/fused-draw', [
    {
      name: 'draw-tile-tie',
      breaks: 'of equal logits, the one in the last tile is drawn',
      find: 'if (other.value > value) *this = other;',
      replace: 'if (other.value >= value) *this = other;',
      caught:
        'fused draws on avx512 of a tree are the same with and without its logits written, with a softcap and a bias, and 2 more',
    },
    {
      name: 'draw-lane-tie',
      breaks: 'among equal logits in a vector the first lane wins',
      find: '(values[lane] == best.value && ids[lane] < best.id)',
      replace: '(values[lane] == best.value && ids[lane] < 0)',
      caught:
        'fused draws on avx512 of a tree are the same with and without its logits written, with a softcap and a bias, and 2 more',
    },
  ]),

  ...faults('cpu/sampling/gumbel.h', 'ops/sampling/propose-tokens', [
    {
      name: 'gumbel-of-ids-word',
      breaks: 'tokens with odd ids have the noise of their neighbours',
      find: 'pairs >> (tokens & 1) * 32',
      replace: 'pairs >> (tokens & 0) * 32',
      caught:
        'on avx512bf16 of 2 tokens of a vocabulary, with the noise and the biases of these tokens, and 35 more',
    },
  ]),

  ...faults('cpu/sampling/propose_tokens.cc', 'ops/sampling/propose-tokens', [
    {
      name: 'propose-tokens-noise-place',
      breaks: 'every block of tokens has the noise of the first',
      find: 'gumbel_noise(options.seed, position, first + i, noise + i);',
      replace: 'gumbel_noise(options.seed, position, i, noise + i);',
      caught: 'on avx512bf16 of a vocabulary of 257, and 23 more',
    },
    {
      name: 'propose-tokens-ids-bias',
      breaks: 'the bias of a token that is not among the ids goes to the next one',
      find: 'return low < count && ids[first + low] == token ? low : -1;',
      replace: 'return low;',
      caught:
        'on avx512bf16 of 2 tokens of a vocabulary, with the noise and the biases of these tokens, and 35 more',
    },
    {
      name: 'propose-tokens-ids-columns',
      breaks: 'columns are proposed in place of their tokens',
      find: 'if (args.ids) best.indices[i] = args.ids[best.indices[i]];',
      replace: '',
      caught:
        'on avx512bf16 of 1 tokens of a vocabulary, with the noise and the biases of these tokens, and 35 more',
    },
    {
      name: 'propose-tokens-raise',
      breaks: 'the sum before a larger score keeps its scale',
      find: 'total *= term(before);',
      replace: '',
      caught: 'on avx512bf16 of a vocabulary of 1000, and 26 more',
    },
    {
      name: 'propose-tokens-infinity',
      breaks: 'weights of infinite logits are not numbers',
      find: 'top = score < kLargestFloat ? score : kLargestFloat;',
      replace: 'top = score;',
      caught: 'on avx512bf16 numbers come before what is not a number, and weights are numbers, and 2 more',
    },
    {
      name: 'propose-tokens-nan',
      breaks: 'NaN makes the weights of its row NaN',
      find: 'x == x ? x : broadcast(-kInfinity)',
      replace: 'x',
      caught: 'on avx512bf16 numbers come before what is not a number, and weights are numbers, and 2 more',
    },
    {
      name: 'propose-tokens-options-of-first',
      breaks: 'every sequence has the options of the first',
      find: 'options(options_of(args.sampling, row / args.depth))',
      replace: 'options(options_of(args.sampling, 0))',
      caught:
        'on avx512bf16 every sequence has its own options and positions, and gets what it gets alone, and 2 more',
    },
    {
      name: 'propose-tokens-part',
      breaks: 'only the best token of each part is proposed',
      find: 'return smaller(most, tokens_of(part));',
      replace: 'return 1;',
      caught: 'on avx512bf16 of a vocabulary of 2, and 71 more',
    },
  ]),

  ...faults('cpu/sampling/accepted_rows.cc', 'ops/sampling/accepted-rows', [
    {
      name: 'accepted-rows-idle',
      breaks: 'a sequence that accepted nothing gets its open positions as rows',
      find: 'count = args.counts[s] > 0 ? candidates.count : 0;',
      replace: 'count = candidates.count;',
      caught: 'on avx512bf16 rows of inputs that the host knows, and 58 more',
    },
    {
      name: 'accepted-rows-start',
      breaks: 'rows begin behind the open positions',
      find: 'start = args.lengths[s] - args.open[s];',
      replace: 'start = args.lengths[s];',
      caught: 'on avx512bf16 rows of inputs that the host knows, and 58 more',
    },
    {
      name: 'accepted-rows-chain',
      breaks: 'the chain of a sequence hangs on the sequence before',
      find: 'args.parents[first + i] = i > 0 ?',
      replace: 'args.parents[first + i] = first + i > 0 ?',
      caught: 'on avx512bf16 rows of inputs that the host knows, and 55 more',
    },
    {
      name: 'accepted-rows-oldest',
      breaks: 'the oldest positions stay open',
      find: 'final = candidates.count - kept;',
      replace: 'final = 0;',
      caught: 'on avx512bf16 rows of inputs that the host knows, and 58 more',
    },
    {
      name: 'accepted-rows-padding',
      breaks: 'padding has no source',
      find: 'args.positions[row] = args.sources[row] = 0;',
      replace: 'args.positions[row] = 0;',
      caught: 'on avx512bf16 rows of inputs that the host knows, and 61 more',
    },
    {
      name: 'chain-tokens-depth',
      breaks: 'the drafts of head 2 are read in place of those of later heads',
      find: '(s * args.depth + at - count) * args.width',
      replace: 's * args.depth * args.width',
      caught: 'on avx512bf16 tokens of inputs that the host knows, and 11 more',
    },
  ]),
];
