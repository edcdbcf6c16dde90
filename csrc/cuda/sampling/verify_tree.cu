// Verification of draft trees. The walk draws a token at the root as plain decoding would; while a child holds the
// drawn token, it steps to that child and draws there. This is lossless for any draft, because a draw depends on the
// path to its node alone.
//
// Greedy and temperature-only draws are fused with the unembedding (fused_draw.cuh): no logits exist in memory. Other
// options need whole rows: the logits of all nodes are written, and processed only for the nodes that the walk visits.
#include "csrc/cuda/kernels.h"
#include "csrc/cuda/linear/gemm_epilogues.cuh"
#include "csrc/cuda/linear/gemm_skinny.cuh"
#include "csrc/cuda/sampling/fused_draw.cuh"
#include "csrc/cuda/sampling/process_logits.cuh"
#include "csrc/cuda/sampling/tree_check.cuh"

namespace foretoken::cuda {
namespace {

// Checks all indices except tokens of the history and of the bias, which are checked where they are read. Called by a
// whole block, all of whose threads get the same answer. `shared` has room for one element a warp.
template <int kThreads>
FORETOKEN_DEVICE bool is_valid(const VerifyTreeArgs& args, const Reporter& reporter, int64_t* shared) {
  int64_t problems = verify_tree_is_valid<kThreads>(args.tree, args.path_stride, reporter, shared) ? 0 : 1;
  for (int64_t r = threadIdx.x; r < rows_in_use(args.tree) && problems == 0; r += kThreads) {
    problems = reporter.check(Argument::kTokens, r, args.tokens[r], 0, args.vocab - 1) ? 0 : 1;
  }
  if (args.history != nullptr) {
    for (int64_t s = threadIdx.x; s < args.tree.sequences; s += kThreads) {
      if (!reporter.check(Argument::kHistoryLengths, s, args.history_lengths[s], 0, args.history_stride)) problems = 1;
    }
  }
  return reduce_block<kThreads>(problems, Max(), int64_t{0}, shared) == 0;
}

// The first child of `row` that holds `token`, or -1. `shared` has room for one element a warp.
template <int kThreads>
FORETOKEN_DEVICE int32_t child_with(const VerifyTreeArgs& args, int32_t row, int32_t end, int32_t token,
                                    int32_t* shared) {
  int32_t first = INT32_MAX;
  for (int32_t child = row + 1 + static_cast<int32_t>(threadIdx.x); child < end && first == INT32_MAX;
       child += kThreads) {
    if (args.tree.parents[child] == row && args.tokens[child] == token) first = child;
  }
  first = reduce_block<kThreads>(first, Min(), INT32_MAX, shared);
  return first == INT32_MAX ? -1 : first;
}

// Walks through a sequence's tree and writes the accepted path. All threads of the block call draw_at(row, depth), the
// token drawn at a row, for the rows of the path in order. The path ends before a row from which nothing can be drawn;
// if that row is the root, the walk reports it.
template <int kThreads, typename DrawAt>
FORETOKEN_DEVICE void walk(const VerifyTreeArgs& args, int64_t sequence, int32_t* shared, const Reporter& reporter,
                           DrawAt draw_at) {
  const int32_t root = args.tree.row_offsets[sequence], end = args.tree.row_offsets[sequence + 1];
  int32_t* const path = args.path + sequence * args.path_stride;
  int32_t* const drawn = args.drawn + sequence * args.path_stride;
  int32_t count = 0;
  for (int32_t row = root < end ? root : -1; row >= 0; ++count) {
    const int32_t token = draw_at(row, count);
    if (token == kNoToken) {
      if (row == root && !args.allows_no_token && threadIdx.x == 0) {
        reporter.report_nothing_to_draw(row, args.tree.lengths[sequence] + 1);
      }
      break;
    }
    if (threadIdx.x == 0) {
      path[count] = row;
      drawn[count] = token;
    }
    row = child_with<kThreads>(args, row, end, token, shared);
  }
  for (int64_t i = count + threadIdx.x; i < args.path_stride; i += kThreads) path[i] = drawn[i] = -1;
  if (threadIdx.x == 0) args.counts[sequence] = count;
}

// How a row draws; anything if the row is padding or the tree is invalid.
struct DrawInTree {
  explicit DrawInTree(const VerifyTreeArgs& args)
      : tree(args.tree), sampling(args.sampling), path_stride(args.path_stride) {}

  TreeRows tree;
  SequenceSampling sampling;
  int64_t path_stride;

  FORETOKEN_DEVICE RowDraw operator()(int64_t row) const {
    if (row >= rows_in_use(tree)) return {};
    const int64_t sequence = sequence_of(tree.row_offsets, tree.sequences, row);
    const SamplingOptions options = options_of(sampling, sequence);
    const int64_t position =
        options.temperature > 0 ? tree.lengths[sequence] + depth_of(tree.parents, row, path_stride) + 1 : 0;
    return {options.temperature, static_cast<int32_t>(position), options.seed};
  }
};

// Walks through the sequences first … end - 1, given the best entry of every strip.
template <int kThreads>
FORETOKEN_DEVICE void walk_strips(const VerifyTreeArgs& args, const Rank* bests, int64_t strips, int64_t first,
                                  int64_t end, const Reporter& reporter) {
  FORETOKEN_SHARED(int64_t, of_check, [kThreads / kWarp]);
  FORETOKEN_SHARED(Rank, of_draw, [kThreads / kWarp]);
  FORETOKEN_SHARED(int32_t, of_walk, [kThreads / kWarp]);
  if (!is_valid<kThreads>(args, reporter, of_check)) return;
  for (int64_t s = first; s < end; ++s) {
    walk<kThreads>(args, s, of_walk, reporter,
                   [&](int32_t row, int32_t) { return draw_of_row<kThreads>(bests, strips, row, of_draw); });
  }
}

constexpr int kWalkThreads = 256;

// A block for each sequence.
__global__ void __launch_bounds__(kWalkThreads)
    walk_strips_kernel(VerifyTreeArgs args, const Rank* bests, int64_t strips, Reporter reporter) {
  walk_strips<kWalkThreads>(args, bests, strips, blockIdx.x, blockIdx.x + 1, reporter);
}

// The epilogue for few sequences: finds the best entries, and the block that ends last walks. That saves a launch.
struct DrawAndWalk : BestOfStrip<DrawInTree> {
  using Hooks = HookList<Hook::kEndOfBlock>;

  DrawAndWalk(const BestOfStrip& best, const VerifyTreeArgs& args, const Reporter& reporter)
      : BestOfStrip(best), args(args), reporter(reporter) {}

  VerifyTreeArgs args;
  Reporter reporter;

  template <int kThreads>
  FORETOKEN_DEVICE void end_of_block() const {
    if (!is_last_block(&reporter.record->arrivals)) return;
    walk_strips<kThreads>(args, bests, strips, 0, args.tree.sequences, reporter);
  }
};

// A block walks through one sequence after the other, and draws at the rows that the walk visits. One block a
// multiprocessor: without this bound ptxas chooses so few registers that they spill.
template <int kThreads>
__global__ void __launch_bounds__(kThreads, 1)
    walk_logits_kernel(VerifyTreeArgs args, const float* logits, DrawMemory memory, Reporter reporter) {
  FORETOKEN_SHARED(DrawScratch<kThreads>, scratch);
  FORETOKEN_SHARED(int32_t, shared, [kThreads / kWarp]);
  FORETOKEN_SHARED(int64_t, of_check, [kThreads / kWarp]);
  if (!is_valid<kThreads>(args, reporter, of_check)) return;
  const int64_t vocab = args.vocab;
  Rank* const list = memory.lists + blockIdx.x * vocab;
  for (int64_t s = blockIdx.x; s < args.tree.sequences; s += gridDim.x) {
    const SamplingOptions options = options_of(args.sampling, s);
    const LogitBias logit_bias = bias_of(args.sampling, s);
    float* const bias = logit_bias.count > 0 ? memory.bias + blockIdx.x * vocab : nullptr;
    int32_t* const seen = has_penalties(options) ? memory.seen + blockIdx.x * vocab : nullptr;
    if (bias != nullptr) spread_bias<kThreads>(bias, vocab, logit_bias, reporter);
    if (seen != nullptr) {
      count_history<kThreads>(seen, vocab, args.history + s * args.history_stride, args.history_lengths[s],
                              args.prompt_lengths[s], reporter);
    }
    walk<kThreads>(args, s, shared, reporter, [&](int32_t row, int32_t depth) {
      if (seen != nullptr && depth > 0) {  // the root's token is the last one of the history
        if (threadIdx.x == 0) add_to_output(seen, args.tokens[row]);
        __syncthreads();
      }
      const uint32_t* const mask = args.mask ? args.mask + row * mask_words(vocab) : nullptr;
      const LogitRow logit_row = {logits + row * vocab, mask, bias, seen, vocab, args.softcap, options};
      return Draw<kThreads>(logit_row, args.tree.lengths[s] + depth + 1, scratch, list)();
    });
  }
}

// The workspace of draws that need whole rows: the logits of all nodes, and the memory of each block.
struct RowScratch {
  RowScratch(const VerifyTreeArgs& args, const Context& context)
      : logit_bytes(round_up(args.tree.rows * args.vocab * static_cast<int64_t>(sizeof(float)), 64)),
        blocks(draw_blocks(context, args.tree.sequences)),
        logits(static_cast<float*>(args.workspace.data)),
        memory({static_cast<char*>(args.workspace.data) + logit_bytes},
               {args.sampling.bias_room > 0, args.sampling.needs == SamplingNeeds::kHistory, true}, args.vocab, blocks,
               blocks) {}

  const int64_t logit_bytes, blocks;
  float* const logits;
  const DrawMemory memory;
};

void verify_fused(const VerifyTreeArgs& args, const Context& context) {
  // One walk takes about as long as another launch.
  constexpr int64_t kWalksOfLastBlock = 2;
  const FusedDraw draw(args);
  const BestOfStrip best(draw, DrawInTree(args), args.workspace.data);
  if (args.tree.rows > 0 && args.tree.sequences <= kWalksOfLastBlock) {
    return multiply_rows(context, draw.product(), DrawAndWalk(best, args, context.reporter()));
  }
  multiply_rows(context, draw.product(), best);
  launch(context, walk_strips_kernel, dim3(static_cast<unsigned>(args.tree.sequences)), dim3(kWalkThreads), 0, args,
         best.bests, best.strips, context.reporter());
}

// Computes all logits at once, which reads the unembedding once, and processes only the rows that the walk visits.
void verify_rows(const VerifyTreeArgs& args, const Context& context) {
  const RowScratch scratch(args, context);
  multiply_rows(context, FusedDraw(args).product(), Store{scratch.logits, DType::kFloat32, args.vocab, args.bias});
  with_draw_threads(args.vocab, [&](auto threads) {
    launch(context, walk_logits_kernel<threads()>, dim3(static_cast<unsigned>(scratch.blocks)), dim3(threads()), 0,
           args, scratch.logits, scratch.memory, context.reporter());
  });
}

}  // namespace

int64_t workspace(const VerifyTreeArgs& args, const Context& context) {
  if (args.sampling.needs == SamplingNeeds::kNothing) return FusedDraw(args).workspace_bytes();
  const RowScratch scratch(args, context);
  return scratch.logit_bytes + scratch.memory.bytes;
}

void run(const VerifyTreeArgs& args, const Context& context) {
  if (args.sampling.needs == SamplingNeeds::kNothing) verify_fused(args, context);
  else verify_rows(args, context);
}

}  // namespace foretoken::cuda
