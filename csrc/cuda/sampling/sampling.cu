// Draws from hidden states (the unembedding fused in) and from logits.
#include "csrc/cuda/kernels.h"
#include "csrc/cuda/sampling/fused_draw.cuh"
#include "csrc/cuda/sampling/process_logits.cuh"

namespace foretoken::cuda {
namespace {

// The same options for every row.
struct DrawAt {
  const int32_t* positions;  // [rows]; may be null at temperature 0
  float temperature;
  uint64_t seed;

  FORETOKEN_DEVICE RowDraw operator()(int64_t row) const {
    return {temperature, temperature > 0 ? positions[row] : 0, seed};
  }
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

constexpr int kPrepareThreads = 1024;

// Makes what the draws of all rows read: the dense bias and the counts of the history.
__global__ void __launch_bounds__(kPrepareThreads)
    prepare_draws_kernel(SampleLogitsArgs args, DrawMemory memory, Reporter reporter) {
  if (memory.bias != nullptr) spread_bias<kPrepareThreads>(memory.bias, args.vocab, args.bias, reporter);
  if (memory.seen == nullptr) return;
  count_history<kPrepareThreads>(memory.seen, args.vocab, args.history, args.history_length, args.prompt_length,
                                 reporter);
}

// One block a multiprocessor: without this bound ptxas chooses so few registers that they spill.
template <int kThreads>
__global__ void __launch_bounds__(kThreads, 1)
    sample_logits_kernel(SampleLogitsArgs args, DrawMemory memory, Reporter reporter) {
  FORETOKEN_SHARED(DrawScratch<kThreads>, scratch);
  for (int64_t r = blockIdx.x; r < args.rows; r += gridDim.x) {
    const LogitRow row = {args.logits + r * args.vocab, nullptr, memory.bias, memory.seen, args.vocab, 0, args.options};
    Draw<kThreads> draw(row, args.positions[r], scratch, memory.lists + blockIdx.x * args.vocab);
    const int32_t token = draw();
    if (threadIdx.x == 0) take_token(token, r, args.tokens, args.positions, reporter);
  }
}

DrawMemory draw_memory(const SampleLogitsArgs& args, const Context& context) {
  const DrawNeeds needs = {args.bias.count > 0, has_penalties(args.options), has_filters(args.options)};
  return DrawMemory(args.workspace, needs, args.vocab, draw_blocks(context, args.rows), 1);
}

}  // namespace

int64_t workspace(const LinearSampleArgs& args, const Context&) { return FusedDraw(args).workspace_bytes(); }

void run(const LinearSampleArgs& args, const Context& context) {
  const FusedDraw draw(args);
  const BestOfStrip best(draw, DrawAt{args.positions, args.temperature, args.seed}, args.workspace.data);
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
  if (memory.bias != nullptr || memory.seen != nullptr) {
    launch(context, prepare_draws_kernel, dim3(1), dim3(kPrepareThreads), 0, args, memory, context.reporter());
  }
  with_draw_threads(args.vocab, [&](auto threads) {
    launch(context, sample_logits_kernel<threads()>, dim3(static_cast<unsigned>(draw_blocks(context, args.rows))),
           dim3(threads()), 0, args, memory, context.reporter());
  });
}

}  // namespace foretoken::cuda
