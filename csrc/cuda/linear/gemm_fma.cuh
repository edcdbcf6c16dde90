// The main loop of a product of any two floating types: float32 multiply-adds, in the order of k for every element of
// C, whatever the shape of the block. Tiles are converted to float32 on their way into shared memory.
#pragma once

#include "csrc/cuda/linear/gemm_block.cuh"

namespace foretoken::cuda {

// Copies the tiles of one operand into shared memory, as [kDepth][kOuter]. A thread keeps its elements of the next tile
// in registers while the block multiplies the tile before.
template <Major kMajor, int kOuter, int kDepth, int kThreads>
struct FmaTile {
  static constexpr bool kInnerMajor = kMajor == Major::kInner;
  // Two more than kOuter: elements adjacent in k lie in different banks, and pairs stay aligned.
  static constexpr int kStride = kOuter + 2;
  static constexpr int kElements = kDepth * kStride;
  static constexpr int kEach = kOuter * kDepth / kThreads;
  static constexpr int kRun = kInnerMajor ? kDepth : kOuter;  // elements of a tile that are adjacent in memory
  static_assert(kOuter * kDepth % kThreads == 0);

  const Operand& operand;
  const int64_t first_outer, outer, k_end;
  uint32_t bits[kEach];  // not converted yet: a conversion would wait for the loads

  // Element i of this thread.
  static FORETOKEN_DEVICE int outer_of(int i) {
    const int e = static_cast<int>(threadIdx.x) + i * kThreads;
    return kInnerMajor ? e / kRun : e % kRun;
  }
  static FORETOKEN_DEVICE int k_of(int i) {
    const int e = static_cast<int>(threadIdx.x) + i * kThreads;
    return kInnerMajor ? e % kRun : e / kRun;
  }

  template <typename Bits>
  FORETOKEN_DEVICE void fetch_as(int64_t first_k) {
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      const int64_t o = first_outer + outer_of(i), k = first_k + k_of(i);
      bits[i] = 0;
      if (o >= outer || k >= k_end) continue;
      const int64_t row = kInnerMajor ? (operand.rows ? operand.rows[o] : o) : k;
      bits[i] = static_cast<const Bits*>(operand.data)[row * operand.stride + (kInnerMajor ? k : o)];
    }
  }

  FORETOKEN_DEVICE void fetch(int64_t first_k) {
    if (operand.dtype == DType::kFloat32) fetch_as<uint32_t>(first_k);
    else fetch_as<uint16_t>(first_k);
  }

  FORETOKEN_DEVICE void store(float* tile) const {
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      float value;
      if (operand.dtype == DType::kFloat32) value = __uint_as_float(bits[i]);
      else if (operand.dtype == DType::kBFloat16) value = to_float(BFloat16{static_cast<uint16_t>(bits[i])});
      else value = to_float(Float16{static_cast<uint16_t>(bits[i])});
      tile[k_of(i) * kStride + outer_of(i)] = value;
    }
  }
};

template <typename Block_, Form kForm_, int kDepth_ = 16>
struct FmaLoop {
  using Block = Block_;
  static constexpr int kDepth = kDepth_;
  using TileA = FmaTile<major_of_a(kForm_), Block::kRows, kDepth, Block::kThreads>;
  using TileB = FmaTile<major_of_b(kForm_), Block::kCols, kDepth, Block::kThreads>;
  static constexpr int kStageElements = TileA::kElements + TileB::kElements;
  static constexpr size_t kSharedBytes = 2 * kStageElements * sizeof(float);
  static constexpr int kBlocksEach = 1;

  static FORETOKEN_DEVICE void run(const Gemm& gemm, const Place& place, void* memory, typename Block::Sums& sums) {
    auto* const stages = static_cast<float*>(memory);
    TileA a{gemm.a, place.row, place.m, place.k_end, {}};
    TileB b{gemm.b, place.col, gemm.n, place.k_end, {}};
    const auto fetch = [&](int64_t k) {
      a.fetch(k);
      b.fetch(k);
    };
    fetch(place.k_begin);
    float* stage = stages;
    for (int64_t k = place.k_begin; k < place.k_end; k += kDepth) {
      a.store(stage);
      b.store(stage + TileA::kElements);
      // Now every thread has stored its part of this tile and has finished with the tile before, which the next tile
      // overwrites.
      __syncthreads();
      fetch(k + kDepth);
      multiply_tiles(stage, stage + TileA::kElements, sums);
      stage = stage == stages ? stages + kStageElements : stages;
    }
  }

  static FORETOKEN_DEVICE void multiply_tiles(const float* tile_a, const float* tile_b, typename Block::Sums& sums) {
    using Sums = typename Block::Sums;
    const int lane = threadIdx.x % kWarp;
    const float* const row = tile_a + Block::warp_row() + lane / 4;
    const float* const col = tile_b + Block::warp_col() + lane % 4 * 2;
#pragma unroll 4
    for (int k = 0; k < kDepth; ++k) {
      float a[Sums::kRows], b[Sums::kCols];
#pragma unroll
      for (int i = 0; i < Sums::kRows; ++i) a[i] = row[k * TileA::kStride + 8 * i];
#pragma unroll
      for (int j = 0; j < Sums::kCols; j += 2) {
        const auto pair = *reinterpret_cast<const Vector<float, 2>*>(col + k * TileB::kStride + 4 * j);
        b[j] = pair.elements[0];
        b[j + 1] = pair.elements[1];
      }
#pragma unroll
      for (int i = 0; i < Sums::kRows; ++i) {
#pragma unroll
        for (int j = 0; j < Sums::kCols; ++j) sums.at(i, j) = fmaf(a[i], b[j], sums.at(i, j));
      }
    }
  }
};

}  // namespace foretoken::cuda
