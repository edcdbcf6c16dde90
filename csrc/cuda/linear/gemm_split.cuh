// Products with few elements of C and a long k, such as gradients of weights. k is cut into slices that run at the same
// time; their sums are written to the workspace and added in the order of the slices.
#pragma once

#include "csrc/cuda/linear/gemm.cuh"
#include "csrc/cuda/linear/gemm_epilogues.cuh"

namespace foretoken::cuda {

struct Slices {
  int64_t count, depth;  // the last slice may be shorter than depth
};

// As many slices as it takes for the blocks to fill a GPU, but none so short that writing its sums outweighs computing
// them. The shape alone decides, so every GPU gives the same bits.
inline Slices slices_of(int64_t m, int64_t n, int64_t k) {
  constexpr int64_t kEnoughBlocks = 128, kLeastDepth = 512;
  const int64_t blocks = divide_up(m, 128) * divide_up(n, 128);
  int64_t count = blocks > 0 ? kEnoughBlocks / blocks : 1;
  if (count > k / kLeastDepth) count = k / kLeastDepth;
  if (count <= 1) return {1, k > 0 ? k : 1};
  const int64_t depth = round_up(divide_up(k, count), 64);
  return {divide_up(k, depth), depth};
}

inline int64_t split_workspace(int64_t m, int64_t n, int64_t k) {
  const int64_t count = slices_of(m, n, k).count;
  return count > 1 ? count * m * n * static_cast<int64_t>(sizeof(float)) : 0;
}

// Writes the sums of a slice to its place in the workspace.
struct StoreSlice {
  float* sums;  // [slices, m, n]
  int64_t m, n;

  using Hooks = HookList<>;

  FORETOKEN_DEVICE bool wanted() const { return true; }

  template <typename Fragment>
  FORETOKEN_DEVICE void operator()(const Fragment& fragment) const {
    Store{sums + blockIdx.y * m * n, DType::kFloat32, n}(fragment);
  }
};

// Adds the sums of a slice to its place in the workspace.
struct AddSlice : StoreSlice {
  const ErrorRecord* record;

  FORETOKEN_DEVICE bool wanted() const { return !has_error(record); }

  template <typename Fragment>
  FORETOKEN_DEVICE void operator()(const Fragment& fragment) const {
    AddTo{sums + blockIdx.y * m * n, n, record}(fragment);
  }
};

// A warp adds the slices of 16 rows and one strip.
template <typename Epilogue>
__global__ void __launch_bounds__(kWarp)
    add_slices_kernel(const float* sums, int64_t slices, int64_t m, int64_t n, const Epilogue epilogue) {
  using Sums = Fragment<1, kStripOfMultiply / 8>;
  static_assert(check_hooks<Epilogue, Sums, HookList<>>());
  if (!epilogue.wanted()) return;
  const int64_t strips = strips_of<Sums::kStrip>(n);
  Sums fragment;
  fragment.first_row = blockIdx.x / strips * 16;
  fragment.first_col = blockIdx.x % strips * Sums::kStrip;
  fragment.m = m;
  fragment.n = n;
  fragment.clear();
  for (int64_t slice = 0; slice < slices; ++slice) {
#pragma unroll
    for (int i = 0; i < Sums::kRows; ++i) {
#pragma unroll
      for (int j = 0; j < Sums::kCols; ++j) {
        if (!fragment.has_row(i) || !fragment.has_col(j)) continue;
        fragment.at(i, j) += sums[(slice * m + fragment.row(i)) * n + fragment.col(j)];
      }
    }
  }
  epilogue(static_cast<const Sums&>(fragment));
}

// `workspace` has split_workspace() bytes.
template <Form kForm, typename Epilogue>
void multiply_split(const Context& context, const Gemm& gemm, const Epilogue& epilogue, void* workspace) {
  const Slices slices = slices_of(gemm.m, gemm.n, gemm.k);
  if (slices.count == 1) return multiply<kForm>(context, gemm, epilogue);
  auto* const sums = static_cast<float*>(workspace);
  multiply_slices<kForm>(context, gemm, StoreSlice{sums, gemm.m, gemm.n}, slices.count, slices.depth);
  const int64_t warps = divide_up(gemm.m, 16) * strips_of<kStripOfMultiply>(gemm.n);
  launch(context, add_slices_kernel<Epilogue>, dim3(static_cast<unsigned>(warps)), dim3(kWarp), 0, sums, slices.count,
         gemm.m, gemm.n, epilogue);
}

}  // namespace foretoken::cuda
