// The matrix product of this backend: sum(i, j) = Σ_k a(i, k) b(j, k). The product is fused with an epilogue, which
// takes the sums from registers and writes only its results; the sums themselves need never exist in memory.
//
//   multiply<Form::kNT>(context, gemm, epilogue)   large products: training, the loss
//   multiply_rows(context, gemm, epilogue)         gemm_skinny.cuh: decoding; a row's bits depend on the row alone
//
// Two bfloat16 operands are multiplied on tensor cores: by gemm_hopper.cuh on compute capability 9.0 if the copy engine
// can read both operands, otherwise by gemm_tensor.cuh. Any other pair of types is multiplied by float32 multiply-adds
// in the order of k (gemm_fma.cuh). All three leave C in the same pattern of lanes, so one epilogue serves all.
//
// --- Epilogues ---
//
// An epilogue is a functor that the kernel takes by value:
//
//   struct Epilogue {
//     using Hooks = HookList<>;
//     FORETOKEN_DEVICE bool wanted() const;        // false: the kernel returns at once
//     template <typename Fragment>
//     FORETOKEN_DEVICE void operator()(const Fragment& fragment) const;
//   };
//
// `Hooks` lists the optional members that the epilogue has (epilogue_hooks.cuh). The loops check the list against the
// members:
//
//   kBegin       begin(fragment)            sets the start values of the sums, which are 0 otherwise; not called by
//                                           gemm_skinny.cuh and gemm_split.cuh
//   kEndOfBlock  end_of_block<kThreads>()   runs at the end of each block, in all of its threads; not called by
//                                           gemm_hopper.cuh
//
// Only gemm_hopper.cuh calls the others. Off Hopper, an epilogue that lists kPrepare needs the operator() of one
// argument, too.
//
//   kPrepare     prepare(fragment)          runs before the product, so that its loads overlap the product; it may read
//                                           per-row data only; its result is the second argument of operator()
//   kWarpMemory  struct WarpMemory          shared memory of each warp, the second argument of operator()
//   kEnd         end()                      runs after a warp's last strip
//   kRollStrips  no member                  all strips of a tile run through one copy of the code
//
// Whole warps call operator(), all 32 lanes together, so it may shuffle; it must not use barriers. Each call gets a
// strip of Fragment::kStrip adjacent columns (64 of multiply, 16 of multiply_rows) and some rows. A lane holds
// Fragment::kRows of the rows, and Fragment::kCols elements of each. The four lanes of a quad hold one row between
// them. Every row of C and every strip of its columns gets exactly one call, so results of a row and a strip need no
// atomics: results[row * strips_of<kStrip>(n) + strip]. Fragments also hold elements outside C, which are zero; strips
// and groups of rows that lie outside as a whole are skipped. A typical epilogue:
//
//   for (int i = 0; i < Fragment::kRows; ++i) {
//     float top = -INFINITY;
//     for (int j = 0; j < Fragment::kCols; ++j) {
//       if (fragment.has_col(j)) top = max(top, fragment.at(i, j));   // column fragment.col(j)
//     }
//     top = reduce_quad(top, Max());  // all lanes take part: no `if (has_row)` around it
//     if (fragment.has_row(i) && leads_quad()) tops[fragment.row(i) * strips + fragment.strip()] = top;
//   }
//
// Columns j and j + 1, j even, are adjacent: col(j + 1) == col(j) + 1, and col(j) is even.
#pragma once

#include "csrc/cuda/linear/epilogue_hooks.cuh"
#include "csrc/cuda/linear/gemm_fma.cuh"
#include "csrc/cuda/linear/gemm_hopper.cuh"
#include "csrc/cuda/linear/gemm_tensor.cuh"

namespace foretoken::cuda {

template <typename Loop, typename Epilogue>
__global__ void __launch_bounds__(Loop::Block::kThreads, Loop::kBlocksEach)
    gemm_kernel(const Gemm gemm, const Epilogue epilogue, const int64_t depth) {
  FORETOKEN_DYNAMIC_SHARED(memory);
  using Block = typename Loop::Block;
  using Hooks = typename Epilogue::Hooks;
  static_assert(check_hooks<Epilogue, typename Block::Sums,
                            HookList<Hook::kBegin, Hook::kEndOfBlock, Hook::kPrepare, Hook::kRollStrips>>());
  if (!epilogue.wanted()) return;
  const Place place = place_of(gemm, Block::kRows, Block::kCols, blockIdx.x, depth);
  if (place.row >= place.m) return;
  typename Block::Sums sums;
  sums.first_row = place.row + Block::warp_row();
  sums.first_col = place.col + Block::warp_col();
  sums.m = place.m;
  sums.n = gemm.n;
  if constexpr (Hooks::has(Hook::kBegin)) epilogue.begin(sums);
  else sums.clear();
  Loop::run(gemm, place, memory, sums);
  if (!sums.is_outside()) epilogue(static_cast<const typename Block::Sums&>(sums));
  if constexpr (Hooks::has(Hook::kEndOfBlock)) epilogue.template end_of_block<Block::kThreads>();
}

constexpr int kStripOfMultiply = 64;

// The slices of k are the second dimension of the grid: a block's epilogue gets the sums of slice blockIdx.y.
template <typename Loop, typename Epilogue>
void multiply_in(const Context& context, const Gemm& gemm, const Epilogue& epilogue, int64_t slices, int64_t depth) {
  using Block = typename Loop::Block;
  const int64_t blocks = divide_up(gemm.m, Block::kRows) * divide_up(gemm.n, Block::kCols);
  launch(context, gemm_kernel<Loop, Epilogue>, dim3(static_cast<unsigned>(blocks), static_cast<unsigned>(slices)),
         dim3(Block::kThreads), Loop::kSharedBytes, gemm, epilogue, depth);
}

template <Form kForm, typename Epilogue>
void multiply_tiles_on_hopper(const Context& context, const Gemm& gemm, const Epilogue& epilogue, int64_t slices,
                              int64_t depth) {
  using Wide = HopperLoop<kForm, 256, 4, 2>;
  using Narrow = HopperLoop<kForm, 64, 6, 1>;
  static_assert(Wide::Strip::kStrip == kStripOfMultiply && Narrow::Strip::kStrip == kStripOfMultiply);
  // One wave of wide tiles on an H100: its 132 multiprocessors in clusters of two.
  constexpr int64_t kEnoughClusters = 66;
  const bool wide = Wide::items(gemm.m, gemm.n) * slices >= kEnoughClusters;
  if (wide) multiply_on_hopper<Wide>(context, gemm, epilogue, slices, depth);
  else multiply_on_hopper<Narrow>(context, gemm, epilogue, slices, depth);
}

// The shape alone decides into which blocks C is cut, and no bit depends on the cut.
template <Form kForm, typename Epilogue>
void multiply_slices(const Context& context, const Gemm& gemm, const Epilogue& epilogue, int64_t slices,
                     int64_t depth) {
  if (runs_on_hopper(context, gemm)) {
    return multiply_tiles_on_hopper<kForm>(context, gemm, epilogue, slices, depth);
  }
  constexpr int64_t kEnoughBlocks = 96;
  const bool large = divide_up(gemm.m, 128) * divide_up(gemm.n, 128) * slices >= kEnoughBlocks;
  const bool tensor = gemm.a.dtype == DType::kBFloat16 && gemm.b.dtype == DType::kBFloat16;
  // Of the parts of C that fit into a warp's registers, 64 x 64 needs the fewest bytes from shared memory for each
  // multiply-add. Without tensor cores, registers must also hold the next tiles of both operands.
  using LargeTensor = BlockShape<2, 2, 4, 8>;
  using LargeFma = BlockShape<4, 2, 2, 8>;
  using Small = BlockShape<4, 1, 1, 8>;
  static_assert(LargeTensor::Sums::kStrip == kStripOfMultiply && LargeFma::Sums::kStrip == kStripOfMultiply &&
                Small::Sums::kStrip == kStripOfMultiply);
  if (tensor && large) multiply_in<TensorLoop<LargeTensor, kForm>>(context, gemm, epilogue, slices, depth);
  else if (tensor) multiply_in<TensorLoop<Small, kForm>>(context, gemm, epilogue, slices, depth);
  else if (large) multiply_in<FmaLoop<LargeFma, kForm>>(context, gemm, epilogue, slices, depth);
  else multiply_in<FmaLoop<Small, kForm>>(context, gemm, epilogue, slices, depth);
}

// All of k in one slice.
template <Form kForm, typename Epilogue>
void multiply(const Context& context, const Gemm& gemm, const Epilogue& epilogue) {
  multiply_slices<kForm>(context, gemm, epilogue, 1, gemm.k);
}

}  // namespace foretoken::cuda
