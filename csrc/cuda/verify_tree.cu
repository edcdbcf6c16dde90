// Verification of draft trees. At the root a token is drawn as plain decoding would; while a child holds the drawn
// token, the walk steps to it and draws there. Lossless for any draft, because a draw depends on the path to its node
// alone.
#include "csrc/cuda/fused_draw.cuh"
#include "csrc/cuda/gemm_epilogues.cuh"
#include "csrc/cuda/gemm_skinny.cuh"
#include "csrc/cuda/kernels.h"
#include "csrc/cuda/process_logits.cuh"
#include "csrc/cuda/tree_check.cuh"

namespace foretoken::cuda {
namespace {

constexpr int kCheckThreads = 256;

// Checks all indices but those that are checked as they are read, and finds the positions of the tokens that the rows
// draw, where they are wanted. By one block.
__global__ void __launch_bounds__(kCheckThreads)
    prepare_kernel(VerifyTreeArgs args, int32_t* positions, Reporter reporter) {
  FORETOKEN_SHARED(int64_t, shared, [kCheckThreads / kWarp]);
  const TreeRows& tree = args.tree;
  const bool is_good = verify_tree_is_good<kCheckThreads>(tree, args.path_stride, reporter, shared);
  for (int64_t r = threadIdx.x; r < tree.rows; r += kCheckThreads) {
    if (is_good) reporter.check(Argument::kTokens, r, args.tokens[r], 0, args.vocab - 1);
    if (positions == nullptr) continue;
    const int64_t sequence = sequence_of(tree.row_offsets, tree.sequences, r);
    const int64_t position = tree.lengths[sequence] + depth_of(tree.parents, r, args.path_stride) + 1;
    positions[r] = is_good ? static_cast<int32_t>(position) : 0;
  }
  if (args.history == nullptr) return;
  for (int64_t s = threadIdx.x; s < tree.sequences; s += kCheckThreads) {
    reporter.check(Argument::kHistoryLengths, s, args.history_lengths[s], 0, args.history_stride);
  }
}

// The first child of `row` that holds `token`, or -1. `shared` is one element a warp.
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

// draw_at(row, depth) is the token drawn at that row; called by all threads of the block, for the rows of the accepted
// path in order.
template <int kThreads, typename DrawAt>
FORETOKEN_DEVICE void walk(const VerifyTreeArgs& args, int64_t sequence, int32_t* shared, DrawAt draw_at) {
  const int32_t root = args.tree.row_offsets[sequence], end = args.tree.row_offsets[sequence + 1];
  int32_t* const path = args.path + sequence * args.path_stride;
  int32_t* const drawn = args.drawn + sequence * args.path_stride;
  int32_t count = 0;
  for (int32_t row = root < end ? root : -1; row >= 0; ++count) {
    const int32_t token = draw_at(row, count);
    if (threadIdx.x == 0) {
      path[count] = row;
      drawn[count] = token;
    }
    row = child_with<kThreads>(args, row, end, token, shared);
  }
  for (int64_t i = count + threadIdx.x; i < args.path_stride; i += kThreads) path[i] = drawn[i] = -1;
  if (threadIdx.x == 0) args.counts[sequence] = count;
}

// A warp for each sequence, where all draws are known.
__global__ void __launch_bounds__(kWarp)
    walk_draws_kernel(VerifyTreeArgs args, const int32_t* draws, const ErrorRecord* record) {
  if (has_error(record)) return;
  walk<kWarp>(args, blockIdx.x, nullptr, [&](int32_t row, int32_t) { return draws[row]; });
}

// A block for each sequence, which draws where the walk comes by.
template <int kThreads>
__global__ void __launch_bounds__(kThreads, 1)  // of its own accord ptxas would take so few registers that they spill
    walk_logits_kernel(VerifyTreeArgs args, const float* logits, DrawMemory memory, Reporter reporter) {
  FORETOKEN_SHARED(DrawScratch<kThreads>, scratch);
  FORETOKEN_SHARED(int32_t, shared, [kThreads / kWarp]);
  if (has_error(reporter.record)) return;
  const int64_t vocab = args.vocab;
  Rank* const list = memory.lists + blockIdx.x * vocab;
  int32_t* const seen = memory.seen ? memory.seen + blockIdx.x * vocab : nullptr;
  for (int64_t s = blockIdx.x; s < args.tree.sequences; s += gridDim.x) {
    if (seen != nullptr) {
      const bool has_text = args.history != nullptr;
      count_history<kThreads>(seen, vocab, has_text ? args.history + s * args.history_stride : nullptr,
                              has_text ? args.history_lengths[s] : 0, has_text ? args.prompt_lengths[s] : 0, reporter);
    }
    walk<kThreads>(args, s, shared, [&](int32_t row, int32_t depth) {
      if (seen != nullptr && depth > 0) {  // the root's token is the last one of the history
        if (threadIdx.x == 0) add_to_output(seen, args.tokens[row]);
        __syncthreads();
      }
      const LogitRow logit_row = {logits + row * vocab, memory.bias, seen, vocab, args.softcap, args.options};
      return Draw<kThreads>(logit_row, args.tree.lengths[s] + depth + 1, scratch, list)();
    });
  }
}

FusedDraw fused(const VerifyTreeArgs& args) {
  return {.hidden = args.hidden,
          .dtype = args.dtype,
          .weight = args.weight,
          .bias = args.bias,
          .rows = args.tree.rows,
          .dim = args.dim,
          .vocab = args.vocab,
          .softcap = args.softcap,
          .temperature = args.options.temperature,
          .seed = args.options.seed};
}

// The workspace. Draws that need whole rows take the logits of all nodes and memory of each block; the others take
// positions, the token that each row draws, and what the fused draw asks for.
struct Scratch {
  Scratch(const VerifyTreeArgs& args, const Context& context)
      : logit_bytes(round_up(args.tree.rows * args.vocab * static_cast<int64_t>(sizeof(float)), kAlignment)),
        index_bytes(round_up(args.tree.rows * static_cast<int64_t>(sizeof(int32_t)), kAlignment)),
        blocks(draw_blocks(context, args.tree.sequences)),
        base(static_cast<char*>(args.workspace.data)) {}

  DrawMemory draws_of_rows(const VerifyTreeArgs& args) const {
    return DrawMemory({base + logit_bytes}, args.options, args.logit_bias, args.vocab, blocks, blocks);
  }

  static constexpr int64_t kAlignment = 64;
  const int64_t logit_bytes, index_bytes, blocks;
  char* const base;
};

void verify_fused(const VerifyTreeArgs& args, const Context& context) {
  const Scratch scratch(args, context);
  auto* const positions = reinterpret_cast<int32_t*>(scratch.base);
  auto* const draws = reinterpret_cast<int32_t*>(scratch.base + scratch.index_bytes);
  launch(context, prepare_kernel, dim3(1), dim3(kCheckThreads), 0, args, positions, context.reporter());
  fused(args).run(context, scratch.base + 2 * scratch.index_bytes, positions, draws);
  launch(context, walk_draws_kernel, dim3(static_cast<unsigned>(args.tree.sequences)), dim3(kWarp), 0, args, draws,
         context.record);
}

// All logits at once, because that reads the unembedding once; processed only where the walk comes by.
void verify_rows(const VerifyTreeArgs& args, const Context& context) {
  const Scratch scratch(args, context);
  const DrawMemory memory = scratch.draws_of_rows(args);
  auto* const logits = reinterpret_cast<float*>(scratch.base);
  launch(context, prepare_kernel, dim3(1), dim3(kCheckThreads), 0, args, nullptr, context.reporter());
  const Gemm gemm = {.m = args.tree.rows,
                     .n = args.vocab,
                     .k = args.dim,
                     .a = {args.hidden, args.dtype, args.dim},
                     .b = {args.weight.data, args.weight.dtype, args.dim}};
  multiply_rows(context, gemm, Store{logits, DType::kFloat32, args.vocab, args.bias});
  spread_bias(context, args.logit_bias, args.vocab, memory);
  with_draw_threads(args.vocab, [&](auto threads) {
    launch(context, walk_logits_kernel<threads()>, dim3(static_cast<unsigned>(scratch.blocks)), dim3(threads()), 0,
           args, logits, memory, context.reporter());
  });
}

}  // namespace

int64_t workspace(const VerifyTreeArgs& args, const Context& context) {
  const Scratch scratch(args, context);
  if (needs_logits(args.options, args.logit_bias)) return scratch.logit_bytes + scratch.draws_of_rows(args).bytes;
  return 2 * scratch.index_bytes + fused(args).workspace_bytes();
}

void run(const VerifyTreeArgs& args, const Context& context) {
  if (needs_logits(args.options, args.logit_bias)) verify_rows(args, context);
  else verify_fused(args, context);
}

}  // namespace foretoken::cuda
