// Kernels that work row by row: reading and writing some columns of a row, and calling f at every row and column.
#pragma once

#include <algorithm>
#include <initializer_list>

#include "csrc/cuda/common/numeric.cuh"
#include "csrc/cuda/context.h"

namespace foretoken::cuda {

// Whether every vector of 16 bytes is aligned in matrices at these addresses with rows of these lengths.
inline bool vectors_fit(std::initializer_list<const void*> matrices, std::initializer_list<int64_t> row_bytes) {
  return std::all_of(matrices.begin(), matrices.end(),
                     [](const void* matrix) { return reinterpret_cast<uintptr_t>(matrix) % 16 == 0; }) &&
         std::all_of(row_bytes.begin(), row_bytes.end(), [](int64_t bytes) { return bytes % 16 == 0; });
}

// Reads N columns of a row of `dim` columns. With kVectors in accesses of 16 bytes, which must be aligned and lie in
// the row; otherwise one by one, with zeros after the last column.
template <bool kVectors, int N, typename T>
FORETOKEN_DEVICE void load_columns(const T* row, int64_t column, int64_t dim, float (&values)[N]) {
  if constexpr (kVectors) {
    constexpr int kPart = std::min(N, static_cast<int>(16 / sizeof(T)));
#pragma unroll
    for (int first = 0; first < N; first += kPart) {
      const auto part = *reinterpret_cast<const Vector<T, kPart>*>(row + column + first);
#pragma unroll
      for (int i = 0; i < kPart; ++i) values[first + i] = to_float(part.elements[i]);
    }
  } else {
#pragma unroll
    for (int i = 0; i < N; ++i) values[i] = column + i < dim ? to_float(row[column + i]) : 0.0f;
  }
}

template <bool kVectors, int N, typename T>
FORETOKEN_DEVICE void store_columns(T* row, int64_t column, int64_t dim, const float (&values)[N]) {
  if constexpr (kVectors) {
    constexpr int kPart = std::min(N, static_cast<int>(16 / sizeof(T)));
#pragma unroll
    for (int first = 0; first < N; first += kPart) {
      Vector<T, kPart> part;
#pragma unroll
      for (int i = 0; i < kPart; ++i) part.elements[i] = from_float<T>(values[first + i]);
      *reinterpret_cast<Vector<T, kPart>*>(row + column + first) = part;
    }
  } else {
#pragma unroll
    for (int i = 0; i < N; ++i) {
      if (column + i < dim) row[column + i] = from_float<T>(values[i]);
    }
  }
}

template <int N, typename F>
__global__ void rows_kernel(int64_t rows, int64_t columns, F f) {
  const int64_t first = (static_cast<int64_t>(blockIdx.y) * blockDim.x + threadIdx.x) * N;
  const int64_t step = static_cast<int64_t>(gridDim.y) * blockDim.x * N;
  for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    for (int64_t column = first; column < columns; column += step) f.template at<N>(row, column);
  }
}

// Calls f.at<N>(row, column) at every Nth column if `vectors` fit, otherwise f.at<1>(row, column) at every column.
template <int N, typename F>
void for_rows(const Context& context, int64_t rows, int64_t columns, bool vectors, F f) {
  if constexpr (N > 1) {
    if (!vectors) return for_rows<1>(context, rows, columns, false, f);
  }
  constexpr int64_t kMostThreads = 256, kMostBlocks = INT32_MAX, kMostBlocksAcross = 65535;
  const int64_t items = columns / N;
  const int64_t threads = std::clamp(round_up(items, 32), int64_t{32}, kMostThreads);
  const dim3 grid(static_cast<unsigned>(std::min(rows, kMostBlocks)),
                  static_cast<unsigned>(std::min(divide_up(items, threads), kMostBlocksAcross)));
  launch(context, rows_kernel<N, F>, grid, dim3(static_cast<unsigned>(threads)), 0, rows, columns, f);
}

}  // namespace foretoken::cuda
