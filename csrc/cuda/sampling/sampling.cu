// Draws from hidden states (the unembedding fused in) and from logits.
#include "csrc/cuda/kernels.h"
#include "csrc/cuda/sampling/fused_draw.cuh"
#include "csrc/cuda/sampling/process_logits.cuh"

namespace foretoken::cuda {
namespace {

struct GivenPositions {
  const int32_t* positions;  // [rows]; may be null at temperature 0

  FORETOKEN_DEVICE int32_t operator()(int64_t row) const { return positions[row]; }
};

// Writes the token that a row draws, and reports a row that has none to draw. Called by one thread; `positions` may be
// null.
FORETOKEN_DEVICE void take_token(int32_t token, int64_t row, int32_t* tokens, const int32_t* positions,
                                 const Reporter& reporter) {
  tokens[row] = token;
  if (token == kNoToken) reporter.report_nothing_to_draw(row, positions ? positions[row] : kNoPosition);
}

// Merges the best entries of a row's strips. A block merges one row.
template <int kThreads>
__global__ void __launch_bounds__(kThreads)
    draw_rows_kernel(const Rank* bests, int64_t strips, const int32_t* positions, int32_t* tokens, Reporter reporter) {
  FORETOKEN_SHARED(Rank, shared, [kThreads / kWarp]);
  const int32_t token = draw_of_row<kThreads>(bests, strips, blockIdx.x, shared);
  if (threadIdx.x == 0) take_token(token, blockIdx.x, tokens, positions, reporter);
}

constexpr int kHistoryThreads = 1024;

__global__ void __launch_bounds__(kHistoryThreads)
    count_history_kernel(SampleLogitsArgs args, int32_t* seen, Reporter reporter) {
  count_history<kHistoryThreads>(seen, args.vocab, args.history, args.history_length, args.prompt_length, reporter);
}

// One block a multiprocessor: without this bound ptxas chooses so few registers that they spill.
template <int kThreads>
__global__ void __launch_bounds__(kThreads, 1)
    sample_logits_kernel(SampleLogitsArgs args, DrawMemory memory, Reporter reporter) {
  FORETOKEN_SHARED(DrawScratch<kThreads>, scratch);
  for (int64_t r = blockIdx.x; r < args.rows; r += gridDim.x) {
    const LogitRow row = {args.logits + r * args.vocab, memory.bias, memory.seen, args.vocab, 0, args.options};
    Draw<kThreads> draw(row, args.positions[r], scratch, memory.lists + blockIdx.x * args.vocab);
    const int32_t token = draw();
    if (threadIdx.x == 0) take_token(token, r, args.tokens, args.positions, reporter);
  }
}

DrawMemory draw_memory(const SampleLogitsArgs& args, const Context& context) {
  return DrawMemory(args.workspace, args.options, args.bias, args.vocab, draw_blocks(context, args.rows), 1);
}

}  // namespace

int64_t workspace(const LinearSampleArgs& args, const Context&) { return FusedDraw(args).workspace_bytes(); }

void run(const LinearSampleArgs& args, const Context& context) {
  const FusedDraw draw(args);
  const BestOfStrip best(draw, GivenPositions{args.positions}, args.workspace.data);
  multiply_rows(context, draw.product(), best);
  const auto merge = [&](auto threads) {
    launch(context, draw_rows_kernel<threads()>, dim3(static_cast<unsigned>(args.rows)), dim3(threads()), 0, best.bests,
           best.strips, args.positions, args.tokens, context.reporter());
  };
  if (best.strips <= 8 * kWarp) merge(std::integral_constant<int, kWarp>());
  else merge(std::integral_constant<int, 256>());
}

int64_t workspace(const SampleLogitsArgs& args, const Context& context) { return draw_memory(args, context).bytes; }

void run(const SampleLogitsArgs& args, const Context& context) {
  const DrawMemory memory = draw_memory(args, context);
  spread_bias(context, args.bias, args.vocab, memory);
  if (memory.seen != nullptr) {
    launch(context, count_history_kernel, dim3(1), dim3(kHistoryThreads), 0, args, memory.seen, context.reporter());
  }
  with_draw_threads(args.vocab, [&](auto threads) {
    launch(context, sample_logits_kernel<threads()>, dim3(static_cast<unsigned>(draw_blocks(context, args.rows))),
           dim3(threads()), 0, args, memory, context.reporter());
  });
}

}  // namespace foretoken::cuda
