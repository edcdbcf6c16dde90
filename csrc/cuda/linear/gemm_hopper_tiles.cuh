// Tiles of the main loop of gemm_hopper.cuh: how the copy engine brings them, how they lie in shared memory, and how
// the tensor cores take them.
//
// A tile is kDepth deep in k, 128 bytes of bfloat16, and swizzled over 128 bytes. It lies in shared memory as its
// operand lies in memory, [outer][k] or 64 of the outer index wide pieces of [k][outer]; the tensor cores read either.
#pragma once

#include "csrc/cuda/linear/gemm_block.cuh"
#include "csrc/cuda/ptx/ptx_hopper.cuh"
#include "csrc/cuda/ptx/ptx_wgmma.cuh"

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

}  // namespace foretoken::cuda
