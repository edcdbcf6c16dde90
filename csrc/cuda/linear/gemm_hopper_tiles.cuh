// Tiles of the main loop of gemm_hopper.cuh: how the copy engine loads them, how they lie in shared memory, and how the
// tensor cores read them.
//
// A tile is kDepth deep in k, 128 bytes of bfloat16, and swizzled over 128 bytes. It has the layout of its operand in
// memory: [outer][k], or pieces of [k][outer] that are 64 elements of the outer index wide. The tensor cores read
// either.
#pragma once

#include "csrc/cuda/linear/gemm_block.cuh"
#include "csrc/cuda/ptx/ptx_hopper.cuh"
#include "csrc/cuda/ptx/ptx_wgmma.cuh"

namespace foretoken::cuda {

// The tiles of one operand, kOuter rows (or columns) of C wide.
template <Major kMajor, int kOuter>
struct HopperTile {
  static constexpr bool kInnerMajor = kMajor == Major::kInner;
  static constexpr int kDepth = 64;  // elements of 128 bytes
  static constexpr int kElements = kOuter * kDepth;
  static constexpr ptx::Major kMajorOfProduct = kInnerMajor ? ptx::Major::kK : ptx::Major::kMN;
  static_assert(kOuter % 64 == 0);

  // A map with boxes of box_outer x kDepth if k is contiguous in memory, otherwise of 64 x kDepth.
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

  // The chunk of 8 elements that contains (outer, k).
  template <typename Element>
  static FORETOKEN_DEVICE Element* at(Element* tile, int outer, int k) {
    const int line = kInnerMajor ? outer : outer / 64 * kDepth + k, along = kInnerMajor ? k : outer % 64;
    return tile + line * kDepth + (along / 8 ^ line % 8) * 8;
  }

  // Describes an operand of a product: 16 elements of k from `k` on, for the elements of the outer index from `outer`
  // on.
  static FORETOKEN_DEVICE uint64_t operand(const BFloat16* tile, int outer, int k) {
    constexpr uint32_t kPiece = 64 * kDepth * sizeof(BFloat16), kEightRows = 8 * kDepth * sizeof(BFloat16);
    const BFloat16* const start = tile + outer * kDepth + (kInnerMajor ? k : k * kDepth);
    return ptx::wgmma_operand(start, Swizzle::k128Bytes, kInnerMajor ? 16 : kPiece, kEightRows);
  }
};

}  // namespace foretoken::cuda
