// The parts of a matrix product that its main loops share: operands, the part of C that a warp holds, and the blocks
// into which C is cut.
#pragma once

#include "csrc/core/dtype.h"
#include "csrc/cuda/common/numeric.cuh"
#include "csrc/cuda/common/reduce.cuh"
#include "csrc/cuda/context.h"

namespace foretoken::cuda {

// Which of an operand's two indices runs through adjacent elements of memory.
enum class Major { kInner, kOuter };

// How a and b lie in memory: kNT: a [m, k] and b [n, k] (x W^T); kNN: a [m, k] and b [k, n] (dY W); kTN: a [k, m] and b
// [k, n] (dY^T X).
enum class Form { kNT, kNN, kTN };

constexpr Major major_of_a(Form form) { return form == Form::kTN ? Major::kOuter : Major::kInner; }
constexpr Major major_of_b(Form form) { return form == Form::kNT ? Major::kInner : Major::kOuter; }

struct Operand {
  const void* data;
  DType dtype;
  int64_t stride;                 // between stored rows, in elements
  const int32_t* rows = nullptr;  // only for an a stored as [m, k]: row i is row rows[i] of data
};

// The largest number of rows that one tile of the copy engine covers, where only the device knows how many rows there
// are.
constexpr int64_t kCounted = 256;
FORETOKEN_HOST_DEVICE int64_t end_of_zeros(int64_t count) { return round_up(count, kCounted); }

struct Gemm {
  int64_t m, n, k;
  Operand a, b;
  // Counts that only the device knows: if not null, they limit m and k further. Rows between the count and
  // end_of_zeros(count) must hold zeros, because the copy engine loads whole tiles.
  const int32_t* m_count = nullptr;
  const int32_t* k_count = nullptr;
};

FORETOKEN_DEVICE int64_t counted(int64_t most, const int32_t* count) { return count && *count < most ? *count : most; }

// --- Epilogues ---

template <int kStrip>
FORETOKEN_HOST_DEVICE int64_t strips_of(int64_t n) {
  return (n + kStrip - 1) / kStrip;
}

// A lane's share of kRowTiles x kColTiles tiles of 16 rows and 8 columns, in the layout of mma's result: lane 4g + t
// holds rows g and g + 8, columns 2t and 2t + 1 of each tile.
template <int kRowTiles, int kColTiles>
struct Fragment {
  static constexpr int kRows = 2 * kRowTiles, kCols = 2 * kColTiles;
  static constexpr int kStrip = 8 * kColTiles;

  float sums[kRowTiles][kColTiles][4];
  int64_t first_row, first_col;  // of the warp
  int64_t m, n;                  // of C

  FORETOKEN_DEVICE float& at(int i, int j) { return sums[i / 2][j / 2][i % 2 * 2 + j % 2]; }
  FORETOKEN_DEVICE float at(int i, int j) const { return sums[i / 2][j / 2][i % 2 * 2 + j % 2]; }
  FORETOKEN_DEVICE int64_t row(int i) const { return first_row + lane() / 4 + 8 * i; }
  FORETOKEN_DEVICE int64_t col(int j) const { return first_col + lane() % 4 * 2 + j / 2 * 8 + j % 2; }
  FORETOKEN_DEVICE bool has_row(int i) const { return row(i) < m; }
  FORETOKEN_DEVICE bool has_col(int j) const { return col(j) < n; }
  FORETOKEN_DEVICE int64_t strip() const { return first_col / kStrip; }
  FORETOKEN_DEVICE bool is_outside() const { return first_row >= m || first_col >= n; }

  FORETOKEN_DEVICE void clear() {
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
#pragma unroll
      for (int j = 0; j < kCols; ++j) at(i, j) = 0;
    }
  }

 private:
  static FORETOKEN_DEVICE int lane() { return static_cast<int>(threadIdx.x % kWarp); }
};

// --- The blocks of a product ---

// The part of C that one block computes: kRowWarps x kColWarps warps, each with kRowTiles x kColTiles tiles of 16 x 8.
template <int kRowWarps_, int kColWarps_, int kRowTiles_, int kColTiles_>
struct BlockShape {
  static constexpr int kRowWarps = kRowWarps_, kColWarps = kColWarps_;
  static constexpr int kRowTiles = kRowTiles_, kColTiles = kColTiles_;
  static constexpr int kRows = 16 * kRowTiles * kRowWarps, kCols = 8 * kColTiles * kColWarps;
  static constexpr int kThreads = kWarp * kRowWarps * kColWarps;
  using Sums = Fragment<kRowTiles, kColTiles>;

  static FORETOKEN_DEVICE int warp_row() { return static_cast<int>(threadIdx.x / kWarp) / kColWarps * 16 * kRowTiles; }
  static FORETOKEN_DEVICE int warp_col() { return static_cast<int>(threadIdx.x / kWarp) % kColWarps * 8 * kColTiles; }
};

// The part of C that a block computes, and the part of k over which it sums.
struct Place {
  int64_t row, col;
  int64_t m, k_begin, k_end;
};

// The place of block `index`. Blocks of block_rows x block_cols cover the rows of C that the device counted; a block
// beyond them gets place.row >= place.m. Indices walk through bands of eight rows of blocks, so that blocks that run at
// the same time read the same operands: a band keeps its rows of a in the second-level cache and reads b once.
FORETOKEN_DEVICE Place place_of(const Gemm& gemm, int64_t block_rows, int64_t block_cols, int64_t index,
                                int64_t depth) {
  constexpr int64_t kBand = 8;
  const int64_t m = counted(gemm.m, gemm.m_count), k = counted(gemm.k, gemm.k_count);
  const int64_t rows = (m + block_rows - 1) / block_rows, cols = (gemm.n + block_cols - 1) / block_cols;
  const int64_t band = index / (kBand * cols), within = index % (kBand * cols);
  const int64_t left = rows - band * kBand;
  if (left <= 0) return {m, 0, m, 0, 0};
  const int64_t height = left < kBand ? left : kBand;
  const int64_t begin = blockIdx.y * depth, end = begin + depth;
  return {(band * kBand + within % height) * block_rows, within / height * block_cols, m, begin, end < k ? end : k};
}

}  // namespace foretoken::cuda
