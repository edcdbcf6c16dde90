// Fills draft trees with tokens.
#include "csrc/cuda/kernels.h"
#include "csrc/cuda/sampling/tree_check.cuh"

namespace foretoken::cuda {
namespace {

constexpr int kThreads = 128;

// A row with invalid indices gets token 0 at position 0.
__global__ void __launch_bounds__(kThreads) plant_tree_kernel(PlantTreeArgs args, Reporter reporter) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (row >= args.rows) return;
  const int64_t sequence = sequence_of(args.row_offsets, args.sequences, row);
  const int32_t depth = args.depths[row], rank = args.ranks[row];
  const bool valid = reporter.check(Argument::kDepths, row, depth, 0, args.max_depth) &&
                     (depth == 0 || reporter.check(Argument::kRanks, row, rank, 0, args.width - 1));
  args.positions[row] = valid ? args.lengths[sequence] + depth : 0;
  args.tokens[row] = !valid       ? 0
                     : depth == 0 ? args.roots[sequence]
                                  : args.drafts[(sequence * args.max_depth + depth - 1) * args.width + rank];
}

}  // namespace

void run(const PlantTreeArgs& args, const Context& context) {
  launch(context, plant_tree_kernel, dim3(static_cast<unsigned>(divide_up(args.rows, kThreads))), dim3(kThreads), 0,
         args, context.reporter());
}

}  // namespace foretoken::cuda
