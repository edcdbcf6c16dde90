// The epilogues of the product that computes the gradient of the unembedding: they add to it in place.
#pragma once

#include "csrc/cuda/linear/gemm_epilogues.cuh"
#include "csrc/cuda/loss/linear_cross_entropy.cuh"
#include "csrc/cuda/ptx/ptx_hopper.cuh"

namespace foretoken::cuda::loss {

// Starts the sums from the values already there, so that all chunks form one long sum.
struct ExtendSums {
  using Hooks = HookList<Hook::kBegin>;

  const Progress* progress;
  const ErrorRecord* record;
  float* sums;
  int64_t stride;

  FORETOKEN_DEVICE bool wanted() const { return progress->size > 0 && !has_error(record); }

  template <typename Fragment>
  FORETOKEN_DEVICE void begin(Fragment& fragment) const {
    fragment.clear();
    const bool in_pairs = stride % 2 == 0 && reinterpret_cast<uintptr_t>(sums) % 8 == 0;
#pragma unroll
    for (int i = 0; i < Fragment::kRows; ++i) {
      if (!fragment.has_row(i)) break;
#pragma unroll
      for (int j = 0; j < Fragment::kCols; j += 2) {
        if (!fragment.has_col(j)) break;
        const float* const place = sums + fragment.row(i) * stride + fragment.col(j);
        float pair[2] = {};
        if (in_pairs && fragment.has_col(j + 1)) {
          load<2>(place, pair);
        } else {
          pair[0] = place[0];
          if (fragment.has_col(j + 1)) pair[1] = place[1];
        }
        fragment.at(i, j) = pair[0];
        fragment.at(i, j + 1) = pair[1];
      }
    }
  }

  template <typename Fragment>
  FORETOKEN_DEVICE void operator()(const Fragment& fragment) const {
    Store{sums, DType::kFloat32, stride}(fragment);
  }
};

// Adds to the gradient on compute capability 9.0 without any lane reading it: warps write their sums to shared memory,
// and the copy engine has the second-level cache add them. The sum of each chunk is rounded before it is added, so the
// bits depend on where chunks end, which the shape determines; each element is added to once a chunk.
struct AddByEngine {
  using Hooks = HookList<Hook::kWarpMemory, Hook::kEnd>;

  static constexpr int kBoxRows = 16, kBoxCols = 32;  // 128 bytes a row, the longest that can be swizzled
  static constexpr int kBoxes = 2;                    // of a strip; the warp fills one while the engine reads the other
  struct alignas(1024) WarpMemory {
    float boxes[kBoxes][kBoxRows * kBoxCols];
  };

  AddByEngine(const Chunk& chunk, const ErrorRecord* record, float* sums, int64_t rows, int64_t stride)
      : map(encode_tensor_map({.address = sums,
                               .element = TensorElement::kFloat32,
                               .columns = static_cast<uint64_t>(stride),
                               .rows = static_cast<uint64_t>(rows),
                               .row_bytes = static_cast<uint64_t>(stride) * sizeof(float),
                               .box_columns = kBoxCols,
                               .box_rows = kBoxRows,
                               .swizzle = Swizzle::k128Bytes})),
        progress(chunk.progress),
        record(record) {}

  // Whether the engine can write rows with this address and stride.
  static bool fits(const float* sums, int64_t stride) {
    return stride % 4 == 0 && reinterpret_cast<uintptr_t>(sums) % 16 == 0;
  }

  TensorMap map;
  const Progress* progress;
  const ErrorRecord* record;

  FORETOKEN_DEVICE bool wanted() const { return progress->size > 0 && !has_error(record); }

  template <typename Fragment>
  FORETOKEN_DEVICE void operator()(const Fragment& fragment, WarpMemory& memory) const {
    static_assert(Fragment::kRows == 2 && Fragment::kStrip == kBoxes * kBoxCols);
    const int lane = static_cast<int>(threadIdx.x % kWarp);
#pragma unroll
    for (int b = 0; b < kBoxes; ++b) {
      if (lane == 0) ptx::bulk_wait_read<kBoxes - 1>();
      __syncwarp();
#pragma unroll
      for (int j = b * Fragment::kCols / kBoxes; j < (b + 1) * Fragment::kCols / kBoxes; j += 2) {
#pragma unroll
        for (int i = 0; i < Fragment::kRows; ++i) {
          store(element(memory.boxes[b], lane / 4 + 8 * i, j * 4 % kBoxCols + lane % 4 * 2),
                {fragment.at(i, j), fragment.at(i, j + 1)});
        }
      }
      ptx::fence_proxy_async();
      __syncwarp();
      if (lane == 0) {
        ptx::tensor_reduce_add(&map, static_cast<int>(fragment.first_col) + b * kBoxCols,
                               static_cast<int>(fragment.first_row), memory.boxes[b]);
        ptx::bulk_commit();
      }
    }
  }

  // Waits until the engine has read the boxes: once the block ends, its shared memory belongs to another block.
  FORETOKEN_DEVICE void end() const {
    if (threadIdx.x % kWarp == 0) ptx::bulk_wait_read<0>();
  }

 private:
  static FORETOKEN_DEVICE float* element(float* box, int row, int col) {
    return box + row * kBoxCols + (col / 4 ^ row % 8) * 4 + col % 4;
  }
};

}  // namespace foretoken::cuda::loss
