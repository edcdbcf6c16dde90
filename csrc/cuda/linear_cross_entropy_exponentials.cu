// What the products for the gradients multiply exponentials with: see Exponentials.
#include "csrc/cuda/linear_cross_entropy.cuh"
#include "csrc/cuda/reduce.cuh"

namespace foretoken::cuda::loss {
namespace {

constexpr int kThreads = 256;
// The target's gradient, which may be as large as its row's factor times the vocabulary, is divided by the scale of its
// strip; with a smaller scale the quotient could be too large for bfloat16.
constexpr float kLeastExponentOfTarget = -100, kLeastExponent = -126;

// 2^exponent, an integer that is at most 0 or belongs to a strip of zeros; NaN stays.
FORETOKEN_DEVICE float power_of_two(float exponent) {
  if (exponent != exponent) return exponent;
  if (exponent < kLeastExponent) return 0;
  return __uint_as_float(static_cast<uint32_t>(static_cast<int>(fminf(exponent, 0)) + 127) << 23);
}

// Puts the gradient of row i's target into its place, in a strip with this exponent, and returns the exponent that the
// strip then has. Where that is another, what else is in the strip is nearly nothing, and becomes nothing.
FORETOKEN_DEVICE float place_target(const Chunk& chunk, int64_t i, const RowGradient& row, float factor,
                                    float exponent) {
  BFloat16* const exponentials = chunk.exponentials.data + i * chunk.stride;
  const int64_t target = chunk.targets[i];
  if (exponent < kLeastExponentOfTarget) {
    exponent = kLeastExponentOfTarget;
    const int64_t first = target / kStripWidth * kStripWidth;
    for (int64_t j = first; j < first + kStripWidth && j < chunk.stride; ++j) exponentials[j] = {};
  }
  const float gradient = factor == 0 ? 0 : row.own / factor / power_of_two(exponent);
  exponentials[target] = from_float<BFloat16>(gradient);
  return exponent;
}

// scale 2^(K - top log2(e)), so that dz = factor 2^(k - K) 2^(z log2(e) - k).
FORETOKEN_DEVICE float factor_of(const RowGradient& row) {
  const double log2_e = 1.4426950408889634;
  const double exponent = static_cast<double>(exponent_of(row.top)) - static_cast<double>(row.top) * log2_e;
  return static_cast<float>(static_cast<double>(row.scale) * ::exp2(exponent));
}

// A block a row, and of those behind the last that tiles bring with them zeros.
__global__ void __launch_bounds__(kThreads) scale_exponentials_kernel(LinearCrossEntropyArgs args, Chunk chunk) {
  const int64_t i = blockIdx.x, size = chunk.progress->size;
  if (i >= end_of_zeros(size)) return;
  const Exponentials& exponentials = chunk.exponentials;
  const bool is_row = i < size;
  const RowGradient row = is_row ? chunk.gradients[i] : RowGradient{};
  const float exponent = exponent_of(row.top), factor = is_row ? factor_of(row) : 0;
  const int64_t strip_of_target = is_row ? chunk.targets[i] / kStripWidth : -1;
  for (int64_t s = threadIdx.x; s < chunk.strips; s += kThreads) {
    float scale = 0;
    if (is_row) {
      float distance = exponent_of(chunk.partials[i * chunk.strips + s].largest) - exponent;
      if (s == strip_of_target) distance = place_target(chunk, i, row, factor, distance);
      scale = power_of_two(distance);
    }
    exponentials.row_scales[i * chunk.strips + s] = from_float<BFloat16>(scale);
    exponentials.strip_scales[s * exponentials.counted + i] = from_float<BFloat16>(scale);
  }
  if (i >= chunk.capacity) return;
  if (is_row && threadIdx.x == 0) exponentials.factors[i] = factor;
  const auto* const hidden = static_cast<const BFloat16*>(chunk.hidden) + i * chunk.hidden_stride;
  BFloat16* const scaled = exponentials.scaled_hidden + i * chunk.hidden_stride;
  for (int64_t j = threadIdx.x; j < args.dim; j += kThreads) {
    scaled[j] = from_float<BFloat16>(is_row ? factor * to_float(hidden[j]) : 0);
  }
  if (is_row) return;
  for (int64_t j = threadIdx.x; j < chunk.stride; j += kThreads) exponentials.data[i * chunk.stride + j] = {};
}

}  // namespace

void scale_exponentials(const LinearCrossEntropyArgs& args, const Chunk& chunk, const Context& context) {
  launch(context, scale_exponentials_kernel, dim3(static_cast<unsigned>(chunk.exponentials.counted)), dim3(kThreads), 0,
         args, chunk);
}

}  // namespace foretoken::cuda::loss
