// The convolution before the delta rule: each channel of a row is a sum over the inputs on the row's own path.
#include "csrc/cuda/common/activations.cuh"
#include "csrc/cuda/common/numeric.cuh"
#include "csrc/cuda/kernels.h"
#include "csrc/cuda/recurrent/states.cuh"
#include "csrc/cuda/sampling/tree_check.cuh"

namespace foretoken::cuda {
namespace {

constexpr int kThreads = 256;

// A block takes kThreads channels of one row after the other; a thread takes one channel.
template <typename T>
__global__ void __launch_bounds__(kThreads) short_convolution_kernel(ShortConvolutionArgs args, Reporter reporter) {
  FORETOKEN_SHARED(int64_t, shared, [kThreads / kWarp]);
  const TreeRows& tree = args.tree;
  const RecurrentShape& shape = args.states.shape;
  const int64_t channels = shape.channels(), taps = shape.taps;
  const bool valid = tree_is_valid<kThreads>(tree, {args.states.room, Bound::kStateRows}, reporter, shared);
  const int64_t rows = valid ? rows_in_use(tree) : 0;
  const int64_t channel = static_cast<int64_t>(blockIdx.y) * kThreads + threadIdx.x;
  if (channel >= channels) return;
  const float* const weight = static_cast<const float*>(args.weight) + channel * taps + taps - 1;
  // Of so many positions before a row; zero beyond the taps.
  float weights[kMostTaps];
#pragma unroll
  for (int back = 0; back < kMostTaps; ++back) weights[back] = back < taps ? weight[-back] : 0.0f;
  for (int64_t row = blockIdx.x; row < tree.rows; row += gridDim.x) {
    T& out = static_cast<T*>(args.out)[row * channels + channel];
    if (row >= rows) {
      out = T{};
      continue;
    }
    const float* const kept = last_inputs(args.states, sequence_of(tree.row_offsets, tree.sequences, row)) + channel;
    float inputs[kMostTaps];
    int64_t above = row, left = taps - 1;
#pragma unroll
    for (int back = 0; back < kMostTaps; ++back) {
      if (back >= taps) break;
      if (above >= 0) {
        inputs[back] = to_float(static_cast<const T*>(args.x)[above * channels + channel]);
        above = tree.parents[above];
      } else {
        inputs[back] = kept[--left * channels];
      }
    }
    float sum = 0;
#pragma unroll
    for (int back = kMostTaps - 1; back >= 0; --back) {
      if (back < taps) sum = fmaf(weights[back], inputs[back], sum);
    }
    out = from_float<T>(silu(sum));
  }
}

}  // namespace

void run(const ShortConvolutionArgs& args, const Context& context) {
  // One row even without rows: a block reports row offsets that claim rows.
  const int64_t rows = std::clamp(args.tree.rows, int64_t{1}, int64_t{4} * context.multiprocessors);
  const dim3 grid(static_cast<unsigned>(rows),
                  static_cast<unsigned>(divide_up(args.states.shape.channels(), kThreads)));
  with_activations(args.dtype, [&](auto zero) {
    launch(context, short_convolution_kernel<decltype(zero)>, grid, dim3(kThreads), 0, args, context.reporter());
  });
}

}  // namespace foretoken::cuda
