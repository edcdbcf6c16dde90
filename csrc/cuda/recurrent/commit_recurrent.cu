// Applies accepted rows to recurrent states. A warp has a tile of S, and its block a share of the last inputs.
#include "csrc/cuda/kernels.h"
#include "csrc/cuda/recurrent/delta_tile.cuh"
#include "csrc/cuda/sampling/tree_check.cuh"

namespace foretoken::cuda {
namespace {

constexpr int kTiles = 4, kThreads = kTiles * kWarp;

// Moves the last inputs of the block's channels. A thread moves one channel from left to right, because inputs move to
// the left.
template <typename T>
FORETOKEN_DEVICE void shift_inputs(const CommitRecurrentArgs& args, int64_t sequence) {
  const RecurrentShape& shape = args.states.shape;
  const int64_t channels = shape.channels(), kept = shape.taps - 1, count = args.counts[sequence];
  const int32_t* const path = args.path + sequence * args.path_stride;
  float* const inputs = last_inputs(args.states, sequence);
  const int64_t blocks = gridDim.x / args.sequences, block = blockIdx.x % blocks;
  for (int64_t c = block * kThreads + threadIdx.x; c < channels; c += blocks * kThreads) {
    for (int64_t j = 0; j < kept; ++j) {
      const int64_t from = count + j;
      inputs[j * channels + c] = from < kept
                                     ? inputs[from * channels + c]
                                     : to_float(static_cast<const T*>(args.x)[path[from - kept] * channels + c]);
    }
  }
}

// One block a multiprocessor: without this bound ptxas chooses so few registers that they spill.
template <typename T, int kKeys>
__global__ void __launch_bounds__(kThreads, 1) commit_recurrent_kernel(CommitRecurrentArgs args, Reporter reporter) {
  FORETOKEN_SHARED(Gates, gates, [kMostRecurrentRows]);
  FORETOKEN_SHARED(int64_t, shared, [kTiles]);
  if (!commit_is_valid<kThreads>(args, reporter, shared) || has_error(reporter.record)) return;
  const RecurrentShape& shape = args.states.shape;
  const TilePlace<kTiles> place(shape);
  const int count = args.counts[place.sequence];
  if (count == 0) return;
  const int32_t* const path = args.path + place.sequence * args.path_stride;
  shift_inputs<T>(args, place.sequence);
  for (int i = static_cast<int>(threadIdx.x); i < count; i += kThreads) {
    gates[i] = gates_of<T>(args.delta, shape.value_heads, path[i], place.value_head);
  }
  __syncthreads();
  if (!place.exists) return;

  const HeadRows<T> inputs(args.delta, shape, place.value_head, place.tile);
  const int keys = static_cast<int>(shape.key_dim) / kRowGroups;
  float* const state = tile_of(args.states, place.sequence, place.value_head, place.tile);
  DeltaTile<kKeys> s;
  s.load(state, keys);
  HeadRow<T, kKeys> row, next;
  inputs.load(path[0], next);
  for (int i = 0; i < count; ++i) {
    row = next;
    if (i + 1 < count) inputs.load(path[i + 1], next);
    float unwanted[kLaneColumns];
    s.template step<false>(row, gates[i], 1, true, unwanted);
  }
  s.store(state, keys);
}

}  // namespace

// Keys are normalized where they are used.
int64_t workspace(const CommitRecurrentArgs&, const Context&) { return 0; }

void run(const CommitRecurrentArgs& args, const Context& context) {
  with_tiles(args.states.shape, args.delta.dtype, [&]<typename T, int kKeys>() {
    launch(context, commit_recurrent_kernel<T, kKeys>, tile_grid<kTiles>(args.states.shape, args.sequences),
           dim3(kThreads), 0, args, context.reporter());
  });
}

}  // namespace foretoken::cuda
