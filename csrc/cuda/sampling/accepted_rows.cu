// Lists the rows and tokens that drafting heads read after a step.
#include "csrc/cuda/kernels.h"
#include "csrc/cuda/sampling/tree_check.cuh"

namespace foretoken::cuda {
namespace {

constexpr int kThreads = 256;

// The open positions of a sequence, oldest first, then its accepted nodes.
struct Candidates {
  const AcceptedRowsArgs& args;
  int64_t sequence, open, count;

  FORETOKEN_DEVICE Candidates(const AcceptedRowsArgs& args, int64_t sequence)
      : args(args), sequence(sequence), open(args.open[sequence]), count(open + args.counts[sequence]) {}

  // The number of rows of the sequence.
  FORETOKEN_DEVICE int64_t rows() const { return count > open ? count : 0; }
  // The number of candidates that stay open after the step, which are the last ones.
  FORETOKEN_DEVICE int64_t kept() const { return Min()(args.most_open, count); }

  FORETOKEN_DEVICE int32_t source(int64_t i) const {
    if (i < open) return static_cast<int32_t>(sequence * args.most_open + i);
    return static_cast<int32_t>(args.sequences * args.most_open) + args.path[sequence * args.path_stride + i - open];
  }
  FORETOKEN_DEVICE int32_t following(int64_t i) const {
    return i < open ? args.open_tokens[sequence * args.most_open + i]
                    : args.drawn[sequence * args.path_stride + i - open];
  }
};

// The device's twin of find_problem (csrc/core/tree.h), except for the number of rows.
FORETOKEN_DEVICE bool is_valid(const AcceptedRowsArgs& args, const Reporter& reporter, int64_t* shared) {
  const int64_t stride = args.path_stride, highest = INT32_MAX - args.sequences * args.most_open;
  const auto rank_of = [&](int64_t s) { return s * (stride + 3); };
  FirstProblem problem;
  for (int64_t s = threadIdx.x; s < args.sequences; s += kThreads) {
    const int64_t count = args.counts[s], open = args.open[s];
    problem.look(rank_of(s), Argument::kCounts, s, count, 0, stride);
    problem.look(rank_of(s) + 1, Argument::kOpen, s, open, 0, args.most_open);
    problem.look(rank_of(s) + 2, Argument::kLengths, s, args.lengths[s], open, kNoCapacity - count);
  }
  for (int64_t at = threadIdx.x; at < args.sequences * stride; at += kThreads) {
    const int64_t s = at / stride, i = at % stride;
    if (i < args.counts[s]) problem.look(rank_of(s) + 3 + i, Argument::kPath, at, args.path[at], 0, highest);
  }
  return problem.none<kThreads>(reporter, shared);
}

// Writes the row offsets. Returns false to all threads, and reports it, if the results have no room for all rows.
FORETOKEN_DEVICE bool find_rows(const AcceptedRowsArgs& args, const Reporter& reporter, int64_t* shared) {
  FirstProblem problem;
  if (threadIdx.x < kWarp) {
    const int lane = static_cast<int>(threadIdx.x);
    int64_t before = 0;  // rows of the sequences before those of the warp
    if (lane == 0) args.row_offsets[0] = 0;
    for (int64_t first = 0; first < args.sequences; first += kWarp) {
      const int64_t s = first + lane;
      int64_t sum = s < args.sequences ? Candidates(args, s).rows() : 0;
#pragma unroll
      for (int distance = 1; distance < kWarp; distance *= 2) {
        const int64_t lower = __shfl_up_sync(kAllLanes, sum, distance);
        if (lane >= distance) sum += lower;
      }
      if (s < args.sequences) {
        args.row_offsets[s + 1] = static_cast<int32_t>(before + sum);
        problem.look(s, Argument::kRowOffsets, s + 1, before + sum, 0, args.rows, Bound::kResultRows);
      }
      before += __shfl_sync(kAllLanes, sum, kWarp - 1);
    }
  }
  return problem.none<kThreads>(reporter, shared);
}

FORETOKEN_DEVICE void write_row(const AcceptedRowsArgs& args, int64_t row) {
  const bool is_padding = row >= args.row_offsets[args.sequences];
  const int64_t s = is_padding ? 0 : sequence_of(args.row_offsets, args.sequences, row);
  const int64_t i = is_padding ? 0 : row - args.row_offsets[s];
  args.parents[row] = i > 0 ? static_cast<int32_t>(row - 1) : -1;
  args.positions[row] = is_padding ? 0 : args.lengths[s] - args.open[s] + static_cast<int32_t>(i);
  args.sources[row] = is_padding ? 0 : Candidates(args, s).source(i);
}

FORETOKEN_DEVICE void write_sequence(const AcceptedRowsArgs& args, int64_t s) {
  const Candidates candidates(args, s);
  args.starts[s] = args.lengths[s] - args.open[s];
  args.last[s] = candidates.rows() > 0 ? args.row_offsets[s + 1] - 1 : 0;
  args.next_open[s] = static_cast<int32_t>(candidates.kept());
}

// One block, which may have all registers.
__global__ void __launch_bounds__(kThreads, 1) accepted_rows_kernel(AcceptedRowsArgs args, Reporter reporter) {
  FORETOKEN_SHARED(int64_t, shared, [kThreads / kWarp]);
  if (!is_valid(args, reporter, shared) || !find_rows(args, reporter, shared)) return;
  const int64_t most = args.most_open, columns = most + args.path_stride;
  for (int64_t row = threadIdx.x; row < args.rows; row += kThreads) write_row(args, row);
  for (int64_t s = threadIdx.x; s < args.sequences; s += kThreads) write_sequence(args, s);
  for (int64_t at = threadIdx.x; at < args.sequences * columns; at += kThreads) {
    const Candidates candidates(args, at / columns);
    args.following[at] = at % columns < candidates.rows() ? candidates.following(at % columns) : 0;
  }
  for (int64_t at = threadIdx.x; at < args.sequences * most; at += kThreads) {
    const Candidates candidates(args, at / most);
    const int64_t kept = candidates.kept(), i = candidates.count - kept + at % most;
    args.next_open_tokens[at] = at % most < kept ? candidates.following(i) : 0;
    args.kept[at] = at % most < kept ? candidates.source(i) : static_cast<int32_t>(at);
  }
}

// The device's twin of find_problem (csrc/core/tree.h).
FORETOKEN_DEVICE bool is_valid(const ChainTokensArgs& args, const Reporter& reporter, int64_t* shared) {
  const int32_t* const offsets = args.row_offsets;
  FirstProblem problem;
  if (threadIdx.x == 0) problem.look(0, Argument::kRowOffsets, 0, offsets[0], 0, 0);
  for (int64_t s = threadIdx.x; s < args.sequences; s += kThreads) {
    const int64_t highest = Min()(offsets[s] + args.columns, args.rows);
    problem.look(1 + s, Argument::kRowOffsets, s + 1, offsets[s + 1], offsets[s], highest);
  }
  return problem.none<kThreads>(reporter, shared);
}

// Every block checks the rows, and every thread handles one.
__global__ void __launch_bounds__(kThreads) chain_tokens_kernel(ChainTokensArgs args, Reporter reporter) {
  FORETOKEN_SHARED(int64_t, shared, [kThreads / kWarp]);
  if (!is_valid(args, reporter, shared)) return;
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (row >= args.rows) return;
  if (row >= args.row_offsets[args.sequences]) {
    args.tokens[row] = 0;
    return;
  }
  const int64_t s = sequence_of(args.row_offsets, args.sequences, row), first = args.row_offsets[s];
  const int64_t count = args.row_offsets[s + 1] - first, at = row - first + args.head - 2;
  args.tokens[row] =
      at < count ? args.following[s * args.columns + at] : args.drafts[(s * args.depth + at - count) * args.width];
}

}  // namespace

void run(const AcceptedRowsArgs& args, const Context& context) {
  launch(context, accepted_rows_kernel, dim3(1), dim3(kThreads), 0, args, context.reporter());
}

void run(const ChainTokensArgs& args, const Context& context) {
  launch(context, chain_tokens_kernel, dim3(static_cast<unsigned>(divide_up(args.rows, kThreads))), dim3(kThreads), 0,
         args, context.reporter());
}

}  // namespace foretoken::cuda
