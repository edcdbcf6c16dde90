// The convolution before the delta rule: each channel of a row is a sum over the inputs on the row's own path.
#include "csrc/core/tree.h"
#include "csrc/cpu/kernels.h"
#include "csrc/cpu/layers/activations.h"
#include "csrc/cpu/recurrent/states.h"
#include "csrc/cpu/split.h"

namespace foretoken::cpu::FORETOKEN_ISA {
namespace {

// Channels whose weights are transposed together.
constexpr int64_t kPartChannels = 256;

// The inputs of one row, the oldest first.
struct Inputs {
  Inputs(const ShortConvolutionArgs& args, int64_t sequence, int64_t row) {
    const RecurrentShape& shape = args.states.shape;
    const int64_t channels = shape.channels();
    const float* last = last_inputs(args.states, sequence) + (shape.taps - 1) * channels;
    for (int64_t j = shape.taps; j-- > 0;) {
      if (row >= 0) {
        of_tap[j] = as_floats(args.x) + row * channels;
        row = args.tree.parents[row];
      } else {
        of_tap[j] = last -= channels;
      }
    }
  }

  const float* of_tap[kMostTaps];
};

void convolve(const ShortConvolutionArgs& args, int64_t begin, int64_t end) {
  const RecurrentShape& shape = args.states.shape;
  const TreeRows& tree = args.tree;
  float weights[kMostTaps][kPartChannels];
  for (int64_t c = begin; c < end; ++c) {
    for (int64_t j = 0; j < shape.taps; ++j) {
      weights[j][c - begin] = as_floats(args.weight)[c * shape.taps + j];
    }
  }
  for (int64_t s = 0; s < tree.sequences; ++s) {
    for (int64_t r = tree.row_offsets[s]; r < tree.row_offsets[s + 1]; ++r) {
      const Inputs inputs(args, s, r);
      float* const out = as_floats(args.out) + r * shape.channels();
      for (int64_t c = begin; c < end; c += kLanes) {
        Vec sum = load(weights[0] + c - begin) * load(inputs.of_tap[0] + c);
        for (int64_t j = 1; j < shape.taps; ++j) {
          sum = fma(load(weights[j] + c - begin), load(inputs.of_tap[j] + c), sum);
        }
        store(out + c, silu(sum));
      }
    }
  }
  for (int64_t r = tree.row_offsets[tree.sequences]; r < tree.rows; ++r) {
    for (int64_t c = begin; c < end; c += kLanes) store(as_floats(args.out) + r * shape.channels() + c, Vec{});
  }
}

}  // namespace

void run(const ShortConvolutionArgs& args, const Context& context) {
  IndexProblem problem;
  if (find_problem(args.tree, {args.states.room, Bound::kStateRows}, &problem)) {
    return report_problem(context, "shortConvolution", problem);
  }
  split(context, args.states.shape.channels(), kPartChannels,
        [&](int64_t begin, int64_t end) { convolve(args, begin, end); });
}

}  // namespace foretoken::cpu::FORETOKEN_ISA
