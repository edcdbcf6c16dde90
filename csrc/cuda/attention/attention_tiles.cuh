// Tiles of rows in shared memory, and the products of tiles that a warp computes.
//
// A warp holds its products as 16x8 fragments, `float fragments[row tiles][column tiles][4]`, in the layout of
// mma.m16n8k16: with g = lane / 4 and t = lane % 4, the four are (g, 2t), (g, 2t+1), (g+8, 2t), (g+8, 2t+1). bfloat16
// is multiplied on tensor cores and float32 by multiply-adds. Lanes hold the same elements either way, so the code
// between two products is written once.
#pragma once

#include "csrc/cuda/common/numeric.cuh"
#include "csrc/cuda/common/reduce.cuh"

namespace foretoken::cuda {

// Rows of kDim columns. The 16-byte chunks of a row are permuted, so that chunks of one column in eight neighbouring
// rows lie in eight different places modulo 128 bytes and are read without bank conflicts.
template <typename T, int kDim>
struct Tile {
  static constexpr int kPerChunk = 16 / sizeof(T), kChunks = kDim / kPerChunk;
  static_assert(kDim % 16 == 0);

  T* data;

  FORETOKEN_DEVICE T* at(int row, int column) const {
    constexpr int kPower = kChunks & -kChunks, kPeriod = kPower < 8 ? kPower : 8;
    const int permuted = row / (8 / kPeriod) % kPeriod;
    // Permutes pairs of chunks and the chunks of a pair separately: compilers often know one of the two.
    const int pair = column / (2 * kPerChunk) ^ permuted / 2, odd = column / kPerChunk % 2 ^ permuted % 2;
    return data + row * kDim + (2 * pair + odd) * kPerChunk + column % kPerChunk;
  }

  // The tile that begins `rows` rows later.
  FORETOKEN_DEVICE Tile behind(int rows) const { return {data + rows * kDim}; }
};

// One head of consecutive rows in memory.
template <typename T>
struct HeadRows {
  T* data;         // the head's columns of row 0
  int64_t stride;  // between rows, in elements
  int count, dim;  // rows and columns
  bool vectors;    // whether 16 bytes may be read at once, wherever a chunk begins
};

// Loads rows first … first + kRows - 1, with zeros after the last row and the last column. Called by all threads of the
// block. The copies are asynchronous and belong to the group that is committed next.
template <int kRows, int kThreads, typename T, int kDim>
FORETOKEN_DEVICE void load_rows(const Tile<T, kDim>& tile, const HeadRows<const T>& rows, int first) {
  constexpr int kPerChunk = tile.kPerChunk, kChunks = tile.kChunks;
  for (int i = static_cast<int>(threadIdx.x); i < kRows * kChunks; i += kThreads) {
    const int row = i / kChunks, column = i % kChunks * kPerChunk;
    const bool inside = first + row < rows.count && column < rows.dim;
    const T* const from = inside ? rows.data + (first + row) * rows.stride + column : rows.data;
    T* const to = tile.at(row, column);
    if (rows.vectors) {
      ptx::cp_async_16(to, from, inside);
    } else {
      for (int j = 0; j < kPerChunk; ++j) to[j] = inside && column + j < rows.dim ? from[j] : T{};
    }
  }
}

// rows[first + r] = factor(row tile, half) * fragments[r], where half 0 is row g of a fragment and half 1 row g+8.
template <int kRowTiles, int kColumnTiles, typename T, typename F>
FORETOKEN_DEVICE void store_rows(const HeadRows<T>& rows, int first,
                                 const float (&fragments)[kRowTiles][kColumnTiles][4], F factor) {
  const int lane = threadIdx.x % kWarp;
#pragma unroll
  for (int i = 0; i < kRowTiles; ++i) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = first + 16 * i + 8 * half + lane / 4;
      if (row >= rows.count) continue;
      T* const to = rows.data + row * rows.stride;
      const float by = factor(i, half);
#pragma unroll
      for (int n = 0; n < kColumnTiles; ++n) {
        const int column = 8 * n + lane % 4 * 2;
        const float pair[2] = {by * fragments[i][n][2 * half], by * fragments[i][n][2 * half + 1]};
        if (rows.vectors) {
          if (column < rows.dim) store(to + column, pair);
        } else {
          if (column < rows.dim) to[column] = from_float<T>(pair[0]);
          if (column + 1 < rows.dim) to[column + 1] = from_float<T>(pair[1]);
        }
      }
    }
  }
}

// Calls f(row tile, column tile, element, row, column) for every element that a lane holds.
template <int kRowTiles, int kColumnTiles, typename F>
FORETOKEN_DEVICE void for_each_element(float (&fragments)[kRowTiles][kColumnTiles][4], F f) {
  const int lane = threadIdx.x % kWarp;
#pragma unroll
  for (int i = 0; i < kRowTiles; ++i) {
#pragma unroll
    for (int n = 0; n < kColumnTiles; ++n) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        f(i, n, e, 16 * i + 8 * (e / 2) + lane / 4, 8 * n + lane % 4 * 2 + e % 2);
      }
    }
  }
}

// sums += a bᵀ, where a begins at row `first` of its tile and b has as many rows as `sums` has columns.
template <int kRowTiles, int kColumnTiles, int kDim>
FORETOKEN_DEVICE void multiply(float (&sums)[kRowTiles][kColumnTiles][4], const Tile<BFloat16, kDim>& a, int first,
                               const Tile<BFloat16, kDim>& b) {
  static_assert(kColumnTiles % 2 == 0);
  const int lane = threadIdx.x % kWarp;
#pragma unroll
  for (int k = 0; k < kDim; k += 16) {
    uint32_t left[kRowTiles][4];
#pragma unroll
    for (int i = 0; i < kRowTiles; ++i) {
      ptx::ldmatrix_x4(left[i], a.at(first + 16 * i + lane % 16, k + lane / 16 * 8));
    }
#pragma unroll
    for (int n = 0; n < kColumnTiles; n += 2) {
      uint32_t right[4];
      ptx::ldmatrix_x4(right, b.at(8 * n + lane / 16 * 8 + lane % 8, k + lane / 8 % 2 * 8));
#pragma unroll
      for (int i = 0; i < kRowTiles; ++i) {
        ptx::mma_m16n8k16_bf16(sums[i][n], left[i], {right[0], right[1]});
        ptx::mma_m16n8k16_bf16(sums[i][n + 1], left[i], {right[2], right[3]});
      }
    }
  }
}

template <int kRowTiles, int kColumnTiles, int kDim>
FORETOKEN_DEVICE void multiply(float (&sums)[kRowTiles][kColumnTiles][4], const Tile<float, kDim>& a, int first,
                               const Tile<float, kDim>& b) {
  const int lane = threadIdx.x % kWarp;
#pragma unroll 1
  for (int k = 0; k < kDim; k += 4) {
    float left[kRowTiles][2][4];
#pragma unroll
    for (int i = 0; i < kRowTiles; ++i) {
#pragma unroll
      for (int half = 0; half < 2; ++half) load(a.at(first + 16 * i + 8 * half + lane / 4, k), left[i][half]);
    }
#pragma unroll
    for (int n = 0; n < kColumnTiles; ++n) {
      float right[2][4];
#pragma unroll
      for (int odd = 0; odd < 2; ++odd) load(b.at(8 * n + lane % 4 * 2 + odd, k), right[odd]);
#pragma unroll
      for (int i = 0; i < kRowTiles; ++i) {
#pragma unroll
        for (int e = 0; e < 4; ++e) {
#pragma unroll
          for (int j = 0; j < 4; ++j) sums[i][n][e] = fmaf(left[i][e / 2][j], right[e % 2][j], sums[i][n][e]);
        }
      }
    }
  }
}

// sums += weights b, where b has as many rows as `weights` has columns. The weights are rounded to bfloat16.
template <int kRowTiles, int kColumnTiles, int kDim>
FORETOKEN_DEVICE void add_weighted(float (&sums)[kRowTiles][kDim / 8][4],
                                   const float (&weights)[kRowTiles][kColumnTiles][4], const Tile<BFloat16, kDim>& b) {
  static_assert(kColumnTiles % 2 == 0);
  const int lane = threadIdx.x % kWarp;
#pragma unroll
  for (int k = 0; k < kColumnTiles; k += 2) {
    // Two neighbouring result fragments have the layout of the left operand of the next product.
    uint32_t left[kRowTiles][4];
#pragma unroll
    for (int i = 0; i < kRowTiles; ++i) {
#pragma unroll
      for (int part = 0; part < 4; ++part) {
        const float* const pair = weights[i][k + part / 2] + part % 2 * 2;
        left[i][part] = ptx::bfloat16x2_of_floats(pair[0], pair[1]);
      }
    }
#pragma unroll
    for (int n = 0; n < kDim / 8; n += 2) {
      uint32_t right[4];
      ptx::ldmatrix_x4_transposed(right, b.at(8 * k + lane % 16, 8 * n + lane / 16 * 8));
#pragma unroll
      for (int i = 0; i < kRowTiles; ++i) {
        ptx::mma_m16n8k16_bf16(sums[i][n], left[i], {right[0], right[1]});
        ptx::mma_m16n8k16_bf16(sums[i][n + 1], left[i], {right[2], right[3]});
      }
    }
  }
}

template <int kRowTiles, int kColumnTiles, int kDim>
FORETOKEN_DEVICE void add_weighted(float (&sums)[kRowTiles][kDim / 8][4],
                                   const float (&weights)[kRowTiles][kColumnTiles][4], const Tile<float, kDim>& b) {
  const int lane = threadIdx.x % kWarp;
#pragma unroll
  for (int k = 0; k < 8 * kColumnTiles; ++k) {
    // In each quad, one lane holds column k of the weights.
    float left[kRowTiles][2];
#pragma unroll
    for (int i = 0; i < kRowTiles; ++i) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        left[i][half] = __shfl_sync(kAllLanes, weights[i][k / 8][2 * half + k % 2], lane / 4 * 4 + k % 8 / 2);
      }
    }
#pragma unroll
    for (int n = 0; n < kDim / 8; ++n) {
      float right[2];
      load(b.at(k, 8 * n + lane % 4 * 2), right);
#pragma unroll
      for (int i = 0; i < kRowTiles; ++i) {
#pragma unroll
        for (int e = 0; e < 4; ++e) sums[i][n][e] = fmaf(left[i][e / 2], right[e % 2], sums[i][n][e]);
      }
    }
  }
}

}  // namespace foretoken::cuda
