// Tiles of the main loop of gemm_hopper.cuh: how the copy engine brings them, how they lie in shared memory, and how
// the tensor cores take them.
//
// A tile is kDepth deep in k, 128 bytes of bfloat16, and swizzled over 128 bytes. It lies in shared memory as its
// operand lies in memory, [outer][k] or 64 of the outer index wide pieces of [k][outer]; the tensor cores read either.
#pragma once

#include "csrc/cuda/gemm_block.cuh"
#include "csrc/cuda/ptx_hopper.cuh"
#include "csrc/cuda/ptx_wgmma.cuh"

namespace foretoken::cuda {

// One operand's tiles, kOuter rows (or columns) of C wide.
template <Major kMajor, int kOuter>
struct HopperTile {
  static constexpr bool kInnerMajor = kMajor == Major::kInner;
  static constexpr int kDepth = 64;  // elements of 128 bytes
  static constexpr int kElements = kOuter * kDepth;
  static constexpr ptx::Major kMajorOfProduct = kInnerMajor ? ptx::Major::kK : ptx::Major::kMN;
  static_assert(kOuter % 64 == 0);

  // Boxes of box_outer x kDepth, where that lies in rows of k; else 64 x kDepth.
  static TensorMap map(const Operand& operand, int64_t outer, int64_t k, int box_outer) {
    return encode_tensor_map({.address = const_cast<void*>(operand.data),
                              .element = TensorElement::kBFloat16,
                              .columns = static_cast<uint64_t>(kInnerMajor ? k : outer),
                              .rows = static_cast<uint64_t>(kInnerMajor ? outer : k),
                              .row_bytes = static_cast<uint64_t>(operand.stride) * sizeof(BFloat16),
                              .box_columns = kDepth,
                              .box_rows = static_cast<uint32_t>(kInnerMajor ? box_outer : kDepth),
                              .swizzle = Swizzle::k128Bytes});
  }

  // The chunk of 8 elements that begins there.
  template <typename Element>
  static FORETOKEN_DEVICE Element* at(Element* tile, int outer, int k) {
    const int line = kInnerMajor ? outer : outer / 64 * kDepth + k, along = kInnerMajor ? k : outer % 64;
    return tile + line * kDepth + (along / 8 ^ line % 8) * 8;
  }

  // What the tensor cores read: 16 of k from `k` on, of the elements of the outer index from `outer` on.
  static FORETOKEN_DEVICE uint64_t operand(const BFloat16* tile, int outer, int k) {
    constexpr uint32_t kPiece = 64 * kDepth * sizeof(BFloat16), kEightRows = 8 * kDepth * sizeof(BFloat16);
    const BFloat16* const start = tile + outer * kDepth + (kInnerMajor ? k : k * kDepth);
    return ptx::wgmma_operand(start, Swizzle::k128Bytes, kInnerMajor ? 16 : kPiece, kEightRows);
  }
};

// A warp's 16 rows of a tile of a, scaled, as the tensor cores take them from registers. Scaling by powers of two is
// exact. In the time that one warpgroup loads and scales, the products of the other go on.
template <typename Tile>
class ScaledRows {
 public:
  // `row` of C is the first one. Factors of what is outside are zero.
  FORETOKEN_DEVICE ScaledRows(const Scales& scales, const Gemm& gemm, int64_t row)
      : scales_(scales), first_(row + (Tile::kInnerMajor ? lane() / 4 : 0)), m_(gemm.m) {}

  // Those of the tile whose first k is this one.
  FORETOKEN_DEVICE void fetch(int64_t k) {
    if constexpr (Tile::kInnerMajor) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int64_t row = first_ + 8 * half;
        const uint32_t bits = row < m_ ? scales_.data[row * scales_.stride + k / kScaledStrip].bits : 0;
        factors_[half] = bits | bits << 16;
      }
    } else {
      const BFloat16* const of_strip = scales_.data + first_ / kScaledStrip * scales_.stride + k + lane() % 4 * 2;
#pragma unroll
      for (int i = 0; i < kFactors; ++i) {
        factors_[i] = first_ < m_ ? *reinterpret_cast<const uint32_t*>(of_strip + 8 * i) : 0;
      }
    }
  }

  // 16 rows from `outer` on, 16 of k from `k` on.
  FORETOKEN_DEVICE void load(uint32_t (&a)[4], const BFloat16* tile, int outer, int k) const {
    const int low = lane() / 8 % 2 * 8, high = lane() / 16 * 8, r = lane() % 8;
    if constexpr (Tile::kInnerMajor) ptx::ldmatrix_x4(a, Tile::at(tile, outer + low + r, k + high));
    else ptx::ldmatrix_x4_transposed(a, Tile::at(tile, outer + low, k + high + r));
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      a[i] = ptx::multiply_bfloat16x2(a[i], factors_[Tile::kInnerMajor ? i % 2 : k / 8 + i / 2]);
    }
  }

 private:
  static FORETOKEN_DEVICE int lane() { return static_cast<int>(threadIdx.x % kWarp); }
  static constexpr int kFactors = Tile::kInnerMajor ? 2 : Tile::kDepth / 8;

  const Scales& scales_;
  const int64_t first_, m_;
  uint32_t factors_[kFactors];  // of rows g and g + 8, twice; or of k 2t and 2t + 1, for every eight of k
};

}  // namespace foretoken::cuda
