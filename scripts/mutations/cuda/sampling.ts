import { faults, type Mutation } from '../mutation';

export const sampling: readonly Mutation[] = [
  ...faults('cuda/sampling/sampling.cu', 'ops/sampling/nothing-to-draw', [
    {
      name: 'cuda-sampling-nothing-to-draw',
      breaks: 'a row without a token to draw is not reported',
      find: 'if (token == kNoToken) reporter',
      replace: 'if (token == kNoToken && row < 0) reporter',
      caught: 'on cuda-checked no token is drawn from logits of NaN, and 7 more',
    },
  ]),

  ...faults('cuda/sampling/select.cuh', 'ops/sampling/top-k', [
    {
      name: 'cuda-select-bins-barrier',
      breaks: 'weights are added to bins that other threads clear later',
      find: 'scratch.bins[i] = 0;\n  __syncthreads();',
      replace: 'scratch.bins[i] = 0;',
      caught: 'topK on cuda-checked of rows of 2, and 9 more',
      reported: 'a read of memory that was never written',
    },
    {
      name: 'cuda-select-divergent-barrier',
      breaks: 'only the first thread reaches the barrier',
      find: 'if (threadIdx.x == 0) *size = 0;\n  __syncthreads();',
      replace: 'if (threadIdx.x == 0) {\n    *size = 0;\n    __syncthreads();\n  }',
      caught: 'topK on cuda-checked of rows of 1, and 10 more',
      reported: 'a divergent barrier',
    },
    {
      name: 'cuda-select-before',
      breaks: 'the weight before a bin includes the bin',
      find: 'scratch.before = is_first ? before : before + first;',
      replace: 'scratch.before = before + first;',
      caught: 'topK on cuda-checked of rows of 2, and 9 more',
      reported: 'out of bounds',
    },
  ]),

  ...faults('cuda/sampling/top_k.cu', 'ops/sampling/top-k', [
    {
      name: 'cuda-top-k-sort-barrier',
      breaks: 'pairs are compared before the previous step has finished',
      find: '      __syncthreads();\n      for (int64_t pair',
      replace: '      for (int64_t pair',
      caught: 'topK on cuda-checked of rows of 7, and 7 more',
      reported: 'a race',
    },
  ]),

  ...faults('cuda/sampling/fused_draw.cuh', 'ops/sampling/fused-draw', [
    {
      name: 'cuda-fused-draw-quad',
      breaks: 'the best of a strip is that of one lane instead of four',
      find: 'best = reduce_quad(best, Max());',
      replace: '',
      caught:
        'fused draws on cuda-checked and float32 of 31 tokens and 3 dimensions are those of the logits, and 13 more',
    },
  ]),

  ...faults('cuda/sampling/process_logits.cuh', 'ops/sampling/sampling-by-sequence', [
    {
      name: 'cuda-spread-bias-barrier',
      breaks: 'the bias of a token is read before it is written',
      find: 'atomicAdd(&bias[token], given.values[i]);\n  }\n  __syncthreads();',
      replace: 'atomicAdd(&bias[token], given.values[i]);\n  }',
      caught: 'on cuda-checked others draw as alone, and 3 more',
      reported: 'a race',
    },
    {
      name: 'cuda-spread-bias-clear',
      breaks: 'the bias of the sequence before stays',
      find: 'bias[v] = 0;',
      replace: 'bias[v] += 0;',
      caught: 'on cuda-checked others draw as alone, and 4 more',
      reported: 'a read of memory that was never written',
    },
  ]),

  ...faults('cuda/sampling/fused_draw.cuh', 'ops/sampling/masks', [
    {
      name: 'cuda-fused-draw-mask-row',
      breaks: 'every row has the mask of the first',
      find: 'mask + fragment.row(i) * mask_stride',
      replace: 'mask',
      caught:
        'on cuda-checked walks are those of plain draws from masked logits with {"temperature":0}, and 7 more',
    },
  ]),

  ...faults('cuda/sampling/process_logits.cuh', 'ops/sampling/masks', [
    {
      name: 'cuda-mask-ignored',
      breaks: 'draws from whole rows ignore the mask',
      find: 'if (mask != nullptr && !may_draw(mask, token)) return -kInfinity;',
      replace: '',
      caught:
        'on cuda-checked walks are those of plain draws from masked logits with {"temperature":1,"topK":2}, and 16 more',
    },
  ]),

  ...faults('cuda/sampling/verify_tree.cu', 'ops/sampling/sampling-by-sequence', [
    {
      name: 'cuda-verify-tree-options-of-first',
      breaks: 'draws from whole rows use the options of the first sequence',
      find: 'const SamplingOptions options = options_of(args.sampling, s);',
      replace: 'const SamplingOptions options = options_of(args.sampling, 0);',
      caught: 'on cuda-checked others draw as alone, and 4 more',
    },
    {
      name: 'cuda-verify-tree-fused-options-of-first',
      breaks: 'fused draws use the options of the first sequence',
      find: 'const SamplingOptions options = options_of(sampling, sequence);',
      replace: 'const SamplingOptions options = options_of(sampling, 0);',
      caught: 'on cuda-checked two argmaxes draw as alone, and 2 more',
    },
  ]),

  ...faults('cuda/sampling/verify_tree.cu', 'ops/sampling/verify-tree', [
    {
      name: 'cuda-verify-tree-history-barrier',
      breaks: 'penalties are applied before the previous token is counted',
      find: 'add_to_output(seen, args.tokens[row]);\n        __syncthreads();',
      replace: 'add_to_output(seen, args.tokens[row]);',
      caught:
        'on cuda-checked speculative output is plain output with {"temperature":0,"repetitionPenalty":3}, and 3 more',
      reported: 'a race',
    },
    {
      name: 'cuda-verify-tree-position',
      breaks: 'a draw has the noise of the previous position',
      find: 'path_stride) + 1 : 0;',
      replace: 'path_stride) : 0;',
      caught: 'on cuda-checked speculative output is plain output with {"temperature":1}, and 3 more',
    },
    {
      name: 'cuda-verify-tree-padding',
      breaks: 'tokens of padding are checked',
      find: 'r < rows_in_use(args.tree) && problems == 0;',
      replace: 'r < args.tree.rows && problems == 0;',
      caught: 'on cuda-checked padding changes no path with {"temperature":0}, and 9 more',
    },
  ]),

  ...faults('cuda/sampling/tree_check.cuh', 'ops/sampling/verify-tree', [
    {
      name: 'cuda-tree-check-padding',
      breaks: 'parents of padding are checked',
      find: 'return Min()(tree.rows, int64_t{tree.row_offsets[tree.sequences]});',
      replace: 'return tree.rows;',
      caught: 'on cuda-checked padding changes no path with {"temperature":0}, and 9 more',
    },
  ]),

  ...faults('cuda/sampling/verify_tree.cu', 'ops/sampling/nothing-to-draw', [
    {
      name: 'cuda-verify-tree-nothing-to-draw',
      breaks: 'a root without a token to draw is not reported',
      find: 'if (row == root && !args.allows_no_token',
      replace: 'if (row < 0 && !args.allows_no_token',
      caught:
        'on cuda-checked a tree verified with {"temperature":0} names the first root from which nothing can be drawn, and 6 more',
    },
    {
      name: 'cuda-verify-tree-nothing-below-root',
      breaks: 'any node without a token to draw is reported, not only a root',
      find: 'if (row == root && !args.allows_no_token',
      replace: 'if (!args.allows_no_token',
      caught:
        'on cuda-checked a tree verified with {"temperature":0} ends before a node from which nothing can be drawn, and 6 more',
    },
  ]),

  ...faults('cuda/sampling/gumbel.cuh', 'ops/sampling/propose-tokens', [
    {
      name: 'cuda-gumbel-of-ids-word',
      breaks: 'tokens have the noise of the first token of their group',
      find: 'token % kNoiseGroup);',
      replace: '0);',
      caught:
        'on cuda-checked of 2 tokens of a vocabulary, with the noise and the biases of these tokens, and 9 more',
    },
  ]),

  ...faults('cuda/sampling/propose_tokens.cu', 'ops/sampling/propose-tokens', [
    {
      name: 'cuda-propose-tokens-noise-place',
      breaks: 'every part of a row has the noise of the first',
      find: '(first + at) / kNoiseGroup)',
      replace: 'at / kNoiseGroup)',
      caught: 'on cuda-checked of a vocabulary of 4097',
    },
    {
      name: 'cuda-propose-tokens-ids-bias',
      breaks: 'the bias of a token that is not among the ids goes to the next one',
      find: 'return low < args.vocab && args.ids[low] == token ? low : -1;',
      replace: 'return low;',
      caught:
        'on cuda-checked of 1 tokens of a vocabulary, with the noise and the biases of these tokens, and 9 more',
      reported: 'a race',
    },
    {
      name: 'cuda-propose-tokens-ids-columns',
      breaks: 'columns are proposed in place of their tokens',
      find: 'if (args.ids != nullptr) token = args.ids[token];',
      replace: '',
      caught:
        'on cuda-checked of 1 tokens of a vocabulary, with the noise and the biases of these tokens, and 9 more',
    },
    {
      name: 'cuda-propose-tokens-bias-barrier',
      breaks: 'biases are read before all of them are written',
      find: 'spread[at] = bias.values[i];\n  }\n  __syncthreads();',
      replace: 'spread[at] = bias.values[i];\n  }',
      caught:
        'on cuda-checked of 2 tokens of a vocabulary, with the noise and the biases of these tokens, and 8 more',
      reported: 'a race',
    },
    {
      name: 'cuda-propose-tokens-parts',
      breaks: 'the sums of parts are added without their scales',
      find: '__fmul_rn(sum.total, term(sum.top, top))',
      replace: 'sum.total',
      caught: 'on cuda-checked of a vocabulary of 4097, and 1 more',
    },
    {
      name: 'cuda-propose-tokens-options-of-first',
      breaks: 'every sequence has the options of the first',
      find: 'options_of(args.sampling, row / args.depth)',
      replace: 'options_of(args.sampling, 0)',
      caught: 'on cuda-checked every sequence has its own options and positions, and gets what it gets alone',
    },
  ]),

  ...faults('cuda/sampling/accepted_rows.cu', 'ops/sampling/accepted-rows', [
    {
      name: 'cuda-accepted-rows-scan',
      breaks: 'from the 65th sequence on, offsets lack the rows of the first 32 sequences',
      find: 'before += __shfl_sync(kAllLanes, sum, kWarp - 1);',
      replace: 'before = __shfl_sync(kAllLanes, sum, kWarp - 1);',
      caught: 'on cuda-checked 70 texts with 4 open positions and 6 nodes of a path',
    },
    {
      name: 'cuda-accepted-rows-idle',
      breaks: 'a sequence that accepted nothing gets its open positions as rows',
      find: 'return count > open ? count : 0;',
      replace: 'return count;',
      caught: 'on cuda-checked rows of inputs that the host knows, and 26 more',
    },
    {
      name: 'cuda-accepted-rows-oldest',
      breaks: 'the oldest positions stay open',
      find: 'i = candidates.count - kept + at % most;',
      replace: 'i = at % most;',
      caught: 'on cuda-checked rows of inputs that the host knows, and 26 more',
    },
    {
      name: 'cuda-accepted-rows-room',
      breaks: 'more rows than the results have room for are accepted',
      find: 'before + sum, 0, args.rows, Bound::kResultRows);',
      replace: 'before + sum, 0, INT32_MAX, Bound::kResultRows);',
      caught:
        'indices known to the device alone, on cuda-checked more rows than the results have room for, and 1 more',
    },
    {
      name: 'cuda-chain-tokens-depth',
      breaks: 'the drafts of head 2 are read in place of those of later heads',
      find: '(s * args.depth + at - count) * args.width',
      replace: 's * args.depth * args.width',
      caught: 'on cuda-checked tokens of inputs that the host knows, and 3 more',
    },
  ]),
];
