// sums[j] += Σ_i x[i, j], in an order that depends on the number of rows alone.
#pragma once

#include "csrc/cuda/common/numeric.cuh"
#include "csrc/cuda/common/reduce.cuh"
#include "csrc/cuda/context.h"

namespace foretoken::cuda {

// A block sums 64 columns: each of its warps takes every kWarpsOfColumns-th row, and the sums of the warps are added in
// the order of the warps.
constexpr int kColumnsOfBlock = 2 * kWarp, kWarpsOfColumns = 32;

template <typename T>
__global__ void __launch_bounds__(kWarp* kWarpsOfColumns)
    column_sums_kernel(const T* x, int64_t rows, int64_t cols, int64_t stride, float* sums, const ErrorRecord* record) {
  FORETOKEN_SHARED(float, parts, [kWarpsOfColumns][kColumnsOfBlock]);
  if (has_error(record)) return;
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kColumnsOfBlock;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int64_t col = first + half * kWarp + lane;
    float sum = 0;
    if (col < cols) {
#pragma unroll 8
      for (int64_t row = warp; row < rows; row += kWarpsOfColumns) sum += to_float(x[row * stride + col]);
    }
    parts[warp][half * kWarp + lane] = sum;
  }
  __syncthreads();
  const int64_t col = first + threadIdx.x;
  if (threadIdx.x >= kColumnsOfBlock || col >= cols) return;
  float sum = 0;
#pragma unroll
  for (int part = 0; part < kWarpsOfColumns; ++part) sum += parts[part][threadIdx.x];
  sums[col] += sum;
}

template <typename T>
void add_column_sums(const Context& context, const T* x, int64_t rows, int64_t cols, int64_t stride, float* sums) {
  launch(context, column_sums_kernel<T>, dim3(static_cast<unsigned>(divide_up(cols, kColumnsOfBlock))),
         dim3(kWarp * kWarpsOfColumns), 0, x, rows, cols, stride, sums, context.record);
}

}  // namespace foretoken::cuda
