// Prepares exponentials for the products of the gradients: see Exponentials.
#include "csrc/cuda/common/exp.cuh"
#include "csrc/cuda/common/numeric.cuh"
#include "csrc/cuda/common/reduce.cuh"
#include "csrc/cuda/loss/linear_cross_entropy.cuh"

namespace foretoken::cuda::loss {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;
constexpr int kWidth = 8;  // elements that a thread takes at once

// The base of a row: approximately the logit of its target. All strips must use the same base, which need not be exact.
// A warp takes a row.
__global__ void __launch_bounds__(kThreads) find_bases_kernel(LinearCrossEntropyArgs args, Chunk chunk) {
  const int64_t i = int64_t{blockIdx.x} * kWarps + threadIdx.x / kWarp;
  const int lane = threadIdx.x % kWarp;
  if (i >= chunk.progress->size) return;
  const int64_t target = chunk.targets[i];
  const auto* const hidden = static_cast<const BFloat16*>(chunk.hidden) + i * chunk.hidden_stride;
  const auto* const weight = static_cast<const BFloat16*>(args.weight.data) + target * args.dim;
  float sum = 0;
  for (int64_t j = int64_t{lane} * kWidth; j < args.dim; j += kWarp * kWidth) {
    float h[kWidth], w[kWidth];
    load(hidden + j, h);
    load(weight + j, w);
#pragma unroll
    for (int k = 0; k < kWidth; ++k) sum = fmaf(h[k], w[k], sum);
  }
  float logit = reduce_warp(sum, Sum());
  if (args.bias) logit += args.bias[target];
  if (args.options.softcap > 0) logit = apply_softcap(logit, args.options.softcap);
  if (lane == 0) chunk.exponentials.bases[i] = fabsf(logit) < INFINITY ? logit : 0;
}

// Rescales the exponentials of all strips to the reference of their row.
FORETOKEN_DEVICE void rescale_strips(const Chunk& chunk, int64_t i, float base, float reference) {
  BFloat16* const own = chunk.exponentials.data + i * chunk.stride;
  for (int64_t j = int64_t{threadIdx.x} * kWidth; j < chunk.stride; j += kThreads * kWidth) {
    const float largest = chunk.partials[i * chunk.strips + j / kStripWidth].largest;
    const float distance = reference_of(largest, base) - reference;
    if (distance == 0 || largest == -INFINITY) continue;
    const float factor = exp(distance);
    float values[kWidth];
    load(own + j, values);
#pragma unroll
    for (int k = 0; k < kWidth; ++k) values[k] *= factor;
    store(own + j, values);
  }
}

// A block finishes one row, or clears one of the rows after the last that tiles load, too.
__global__ void __launch_bounds__(kThreads) finish_exponentials_kernel(LinearCrossEntropyArgs args, Chunk chunk) {
  const int64_t i = blockIdx.x, size = chunk.progress->size;
  if (i >= end_of_zeros(size)) return;
  const Exponentials& exponentials = chunk.exponentials;
  BFloat16* const own = exponentials.data + i * chunk.stride;
  BFloat16* const scaled = exponentials.scaled_hidden + i * chunk.hidden_stride;
  const int64_t first = int64_t{threadIdx.x} * kWidth, step = kThreads * kWidth;
  if (i >= size) {
    for (int64_t j = first; j < chunk.stride; j += step) store<kWidth>(own + j, {});
    for (int64_t j = first; j < args.dim; j += step) store<kWidth>(scaled + j, {});
    return;
  }
  const RowGradient row = chunk.gradients[i];
  const float base = exponentials.bases[i], reference = reference_of(row.top, base);
  const float factor = static_cast<float>(static_cast<double>(row.scale) *
                                          ::exp(static_cast<double>(reference) - static_cast<double>(row.top)));
  rescale_strips(chunk, i, base, reference);
  const auto* const hidden = static_cast<const BFloat16*>(chunk.hidden) + i * chunk.hidden_stride;
  for (int64_t j = first; j < args.dim; j += step) {
    float values[kWidth];
    load(hidden + j, values);
#pragma unroll
    for (int k = 0; k < kWidth; ++k) values[k] *= factor;
    store(scaled + j, values);
  }
  __syncthreads();
  if (threadIdx.x != 0) return;
  exponentials.factors[i] = factor;
  own[chunk.targets[i]] = from_float<BFloat16>(factor == 0 ? 0 : row.own / factor);
}

}  // namespace

void find_bases(const LinearCrossEntropyArgs& args, const Chunk& chunk, const Context& context) {
  launch(context, find_bases_kernel, dim3(static_cast<unsigned>(divide_up(chunk.capacity, kWarps))), dim3(kThreads), 0,
         args, chunk);
}

void finish_exponentials(const LinearCrossEntropyArgs& args, const Chunk& chunk, const Context& context) {
  launch(context, finish_exponentials_kernel, dim3(static_cast<unsigned>(chunk.capacity)), dim3(kThreads), 0, args,
         chunk);
}

}  // namespace foretoken::cuda::loss
