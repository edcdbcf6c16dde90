// Overwrites a chunk's logits with their gradient, and sums the gradient of the bias over rows.
#include "csrc/cuda/common/exp.cuh"
#include "csrc/cuda/common/numeric.cuh"
#include "csrc/cuda/common/reduce.cuh"
#include "csrc/cuda/loss/linear_cross_entropy.cuh"

namespace foretoken::cuda::loss {
namespace {

constexpr int kThreads = 256;
constexpr int kWidth = 4;  // logits that a thread takes at once

FORETOKEN_DEVICE float gradient_of(float logit, const RowGradient& row, float softcap) {
  const float distance = logit - row.top;
  const float t = distance < kFloor ? kFloor : distance;  // NaN stays
  const float gradient = fmaf(exp(t), fmaf(row.slope, t, row.scale), -row.offset);
  return gradient * softcap_slope(logit, softcap);
}

template <typename T>
FORETOKEN_DEVICE void clear_row(T* row, int64_t columns) {
  for (int64_t j = int64_t{threadIdx.x} * kWidth; j < columns; j += kThreads * kWidth) store(row + j, {0, 0, 0, 0});
}

// A block takes a row. A row of bfloat16 gradients overwrites the first half of its logits, which the block has read by
// then. Columns after the vocabulary hold minus infinity and count nowhere.
template <typename T>
__global__ void __launch_bounds__(kThreads) write_gradients_kernel(LinearCrossEntropyArgs args, Chunk chunk) {
  FORETOKEN_SHARED(int32_t, counts, [kThreads / kWarp]);
  const int64_t i = blockIdx.x, size = chunk.progress->size;
  if (i >= size) {
    if (i < end_of_zeros(size)) clear_row(reinterpret_cast<T*>(chunk.logits + i * chunk.stride), chunk.stride);
    return;
  }
  const RowGradient row = chunk.gradients[i];
  const int64_t target = chunk.targets[i];
  const float own = chunk.own[i], softcap = args.options.softcap;
  float* const z = chunk.logits + i * chunk.stride;
  int32_t better = 0;
  for (int64_t first = 0; first < chunk.stride; first += kThreads * kWidth) {
    const int64_t j = first + int64_t{threadIdx.x} * kWidth;
    const bool inside = j < chunk.stride;
    float values[kWidth];
    if (inside) {
      load(z + j, values);
#pragma unroll
      for (int k = 0; k < kWidth; ++k) {
        const int64_t column = j + k;
        const float logit = values[k];
        if (column != target) better += column < target ? logit >= own : logit > own;
        values[k] = column == target ? row.own : gradient_of(logit, row, softcap);
      }
    }
    if constexpr (sizeof(T) < sizeof(float)) __syncthreads();
    if (inside) store(reinterpret_cast<T*>(z) + j, values);
  }
  if (args.rank == nullptr) return;
  better = reduce_block<kThreads>(better, Sum(), 0, counts);
  if (threadIdx.x == 0) args.rank[chunk.rows[i]] = better;
}

// The gradient of a logit, if gradients were written.
template <typename T>
struct WrittenGradient {
  FORETOKEN_DEVICE float operator()(const Chunk& chunk, int64_t i, int64_t column) const {
    const int64_t stride = chunk.stride * static_cast<int64_t>(sizeof(float) / sizeof(T));
    return to_float(reinterpret_cast<const T*>(chunk.logits)[i * stride + column]);
  }
};

// The gradient of a logit, if exponentials were written.
struct ScaledExponential {
  FORETOKEN_DEVICE float operator()(const Chunk& chunk, int64_t i, int64_t column) const {
    return to_float(chunk.exponentials.data[i * chunk.stride + column]) * chunk.exponentials.factors[i];
  }
};

// A thread takes a column and adds its rows in order.
template <typename Gradient>
__global__ void __launch_bounds__(kThreads)
    add_bias_gradient_kernel(LinearCrossEntropyArgs args, Chunk chunk, const ErrorRecord* record) {
  const int64_t column = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (has_error(record) || column >= args.vocab) return;
  const int64_t size = chunk.progress->size;
  float sum = args.grad_bias[column];
#pragma unroll 8
  for (int64_t i = 0; i < size; ++i) sum += Gradient()(chunk, i, column);
  args.grad_bias[column] = sum;
}

}  // namespace

void write_gradients(const LinearCrossEntropyArgs& args, const Chunk& chunk, const Context& context) {
  with_activations(compute_type(args), [&](auto type) {
    launch(context, write_gradients_kernel<decltype(type)>, dim3(static_cast<unsigned>(chunk.capacity)), dim3(kThreads),
           0, args, chunk);
  });
}

void add_bias_gradient(const LinearCrossEntropyArgs& args, const Chunk& chunk, const Context& context) {
  const dim3 grid(static_cast<unsigned>(divide_up(args.vocab, kThreads)));
  const auto add = [&](auto gradient) {
    launch(context, add_bias_gradient_kernel<decltype(gradient)>, grid, dim3(kThreads), 0, args, chunk, context.record);
  };
  if (chunk.exponentials.data) return add(ScaledExponential());
  with_activations(compute_type(args), [&](auto type) { add(WrittenGradient<decltype(type)>()); });
}

}  // namespace foretoken::cuda::loss
