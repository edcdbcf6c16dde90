// The norm of the gradients, and the AdamW step: one kernel that reads and writes each element once, and also writes
// the rounded weights.
#include <cmath>

#include "csrc/cuda/common/map.cuh"
#include "csrc/cuda/common/reduce.cuh"
#include "csrc/cuda/common/rows.cuh"
#include "csrc/cuda/kernels.h"

namespace foretoken::cuda {
namespace {

constexpr int kSumThreads = 256;

// The number of blocks that share a sum. The count alone decides, so it also fixes the order of the sum.
int64_t parts_of(int64_t count) {
  constexpr int64_t kElementsOfPart = 1024, kMostParts = 1024;
  return std::min(divide_up(count, kElementsOfPart), kMostParts);
}

// sums[block] = Σ of the squares of a block's elements, in a grid-stride loop
template <bool kVectors>
__global__ void __launch_bounds__(kSumThreads) sum_squares_kernel(int64_t count, const float* in, double* sums) {
  constexpr int N = 4;
  FORETOKEN_SHARED(double, shared, [kSumThreads / kWarp]);
  const int64_t step = static_cast<int64_t>(gridDim.x) * kSumThreads * N;
  double sum = 0;
  for (int64_t i = (static_cast<int64_t>(blockIdx.x) * kSumThreads + threadIdx.x) * N; i < count; i += step) {
    float values[N];
    if (i + N <= count) load_columns<kVectors>(in, i, count, values);
    else load_columns<false>(in, i, count, values);
#pragma unroll
    for (int j = 0; j < N; ++j) sum = fma(static_cast<double>(values[j]), static_cast<double>(values[j]), sum);
  }
  sum = reduce_block<kSumThreads>(sum, Sum(), 0.0, shared);
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

__global__ void __launch_bounds__(kSumThreads) add_sums_kernel(int64_t parts, const double* sums, float* out) {
  FORETOKEN_SHARED(double, shared, [kSumThreads / kWarp]);
  double sum = 0;
  for (int64_t i = threadIdx.x; i < parts; i += kSumThreads) sum += sums[i];
  sum = reduce_block<kSumThreads>(sum, Sum(), 0.0, shared);
  if (threadIdx.x == 0) *out = static_cast<float>(sum);
}

__global__ void clip_coefficient_kernel(ClipCoefficientArgs args) {
  double squares = 0;
  for (int64_t bucket = 0; bucket < args.buckets; ++bucket) squares += static_cast<double>(args.sum_squares[bucket]);
  const double norm = sqrt(squares);
  const double coefficient = static_cast<double>(args.max_norm) / (norm + 1e-6);
  *args.norm = static_cast<float>(norm);
  const bool clips = args.max_norm != 0 && coefficient <= 1;
  // A coefficient of NaN tells AdamW to leave the parameters unchanged. norm - norm is NaN for inf and NaN, otherwise
  // 0.
  *args.coefficient = (clips ? static_cast<float>(coefficient) : 1.0f) + static_cast<float>(norm - norm);
}

// The coefficients of a step, each rounded once.
struct AdamwStep {
  float decay, beta1, rest1, beta2, rest2, step, root2, eps;

  AdamwStep(const AdamwArgs& args)
      : decay(static_cast<float>(1 - args.lr * args.weight_decay)),
        beta1(static_cast<float>(args.beta1)),
        rest1(static_cast<float>(1 - args.beta1)),
        beta2(static_cast<float>(args.beta2)),
        rest2(static_cast<float>(1 - args.beta2)),
        step(static_cast<float>(args.lr / args.bias_correction1)),
        root2(static_cast<float>(std::sqrt(args.bias_correction2))),
        eps(static_cast<float>(args.eps)) {}
};

template <int N>
FORETOKEN_DEVICE void adamw_at(const AdamwArgs& args, const AdamwStep& s, float scale, int64_t i) {
  float param[N], grad[N], m[N], v[N];
  load<N>(args.param + i, param);
  load<N>(args.grad + i, grad);
  load<N>(args.m + i, m);
  load<N>(args.v + i, v);
#pragma unroll
  for (int j = 0; j < N; ++j) {
    const float g = scale * grad[j];
    m[j] = fmaf(s.beta1, m[j], s.rest1 * g);
    v[j] = fmaf(s.beta2, v[j], s.rest2 * g * g);
    const float update = m[j] / (sqrtf(v[j]) / s.root2 + s.eps);
    param[j] = fmaf(-s.step, update, s.decay * param[j]);
  }
  store<N>(args.param + i, param);
  store<N>(args.m + i, m);
  store<N>(args.v + i, v);
  if (args.rounded) store<N>(static_cast<BFloat16*>(args.rounded) + i, param);
}

template <int N>
__global__ void __launch_bounds__(kMapThreads) adamw_kernel(const ErrorRecord* record, AdamwArgs args, AdamwStep step) {
  if (has_error(record)) return;
  const int64_t threads = static_cast<int64_t>(gridDim.x) * kMapThreads;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kMapThreads + threadIdx.x;
  const float scale = args.grad_scale ? *args.grad_scale : 1.0f;
  if (isnan(scale)) return;
  for (int64_t i = first; i < args.count / N; i += threads) adamw_at<N>(args, step, scale, i * N);
  for (int64_t i = args.count / N * N + first; i < args.count; i += threads) adamw_at<1>(args, step, scale, i);
}

}  // namespace

int64_t workspace(const SumSquaresArgs& args, const Context&) {
  return parts_of(args.count) * static_cast<int64_t>(sizeof(double));
}

void run(const SumSquaresArgs& args, const Context& context) {
  auto* const sums = static_cast<double*>(args.workspace.data);
  const int64_t parts = parts_of(args.count);
  const auto kernel = vectors_fit({args.in}, {}) ? sum_squares_kernel<true> : sum_squares_kernel<false>;
  launch(context, kernel, dim3(static_cast<unsigned>(parts)), dim3(kSumThreads), 0, args.count, args.in, sums);
  launch(context, add_sums_kernel, dim3(1), dim3(kSumThreads), 0, parts, sums, args.out);
}

void run(const ClipCoefficientArgs& args, const Context& context) {
  launch(context, clip_coefficient_kernel, dim3(1), dim3(1), 0, args);
}

void run(const AdamwArgs& args, const Context& context) {
  const AdamwStep step(args);
  if (vectors_fit({args.param, args.grad, args.m, args.v, args.rounded}, {})) {
    launch(context, adamw_kernel<4>, map_grid(context, divide_up(args.count, 4)), dim3(kMapThreads), 0, context.record,
           args, step);
  } else {
    launch(context, adamw_kernel<1>, map_grid(context, args.count), dim3(kMapThreads), 0, context.record, args, step);
  }
}

}  // namespace foretoken::cuda
