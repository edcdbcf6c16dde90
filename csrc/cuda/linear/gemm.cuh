// The matrix product of this backend: sum(i, j) = Σ_k a(i, k) b(j, k), handed to an epilogue where it lies in
// registers.
//
//   multiply<Form::kNT>(context, gemm, epilogue)   large products: training, the loss
//   multiply_rows(context, gemm, epilogue)         gemm_skinny.cuh: decoding, where a row's bits are its own
//
// Both operands bfloat16: tensor cores (gemm_hopper.cuh on compute capability 9.0, where the operands are such that the
// copy engine can read them, else gemm_tensor.cuh). Any other pair of floats: float32 multiply-adds in the order of k
// (gemm_fma.cuh). Lanes hold C in the same pattern each time, so one epilogue serves all.
//
// --- Epilogues ---
//
// An epilogue is a functor, passed to the kernel by value:
//
//   struct Epilogue {
//     FORETOKEN_DEVICE bool wanted() const;        // false: the kernel returns at once
//     template <typename Fragment>
//     FORETOKEN_DEVICE void operator()(const Fragment& fragment) const;
//   };
//
// It may have more members, each of which the loops find by its name:
//
//   begin(fragment)            sets what the sums start from; without it they start at 0
//   end_of_block<kThreads>()   not of gemm_hopper.cuh: all threads of each block call it at the end
//   prepare(fragment)          of gemm_hopper.cuh, as all below: runs before the product, so that its loads overlap it; it may
//                              read per-row data only, and its result is the second argument of operator()
//   struct WarpMemory, end()   memory of each warp in shared memory, the second argument of operator(); end() follows a
//                              warp's last strip
//   kRollStrips                true: the strips of a tile run through one copy of the code instead of an unrolled one
//
// operator() is called by whole warps, all 32 lanes together, so it may shuffle; it must not use barriers. Each call is for
// a strip of Fragment::kStrip adjacent columns (64 of multiply, 16 of multiply_rows) and some rows, of which a lane holds
// Fragment::kRows, and of each of these Fragment::kCols elements. The four lanes of a quad hold one row between them.
// For every row of C and every strip of its columns there is one call, so results of a row and a strip need no atomics:
// results[row * strips_of<kStrip>(n) + strip]. Elements outside C are in fragments, too, and are zero; strips and groups of
// rows that lie outside as a whole are skipped. A typical epilogue:
//
//   for (int i = 0; i < Fragment::kRows; ++i) {
//     float top = -INFINITY;
//     for (int j = 0; j < Fragment::kCols; ++j) {
//       if (fragment.has_col(j)) top = max(top, fragment.at(i, j));   // column fragment.col(j)
//     }
//     top = reduce_quad(top, Max());  // every row takes part: no `if (has_row)` around it
//     if (fragment.has_row(i) && leads_quad()) tops[fragment.row(i) * strips + fragment.strip()] = top;
//   }
//
// Columns j and j + 1, j even, are adjacent: col(j + 1) == col(j) + 1, and col(j) is even.
#pragma once

#include "csrc/cuda/linear/gemm_fma.cuh"
#include "csrc/cuda/linear/gemm_hopper.cuh"
#include "csrc/cuda/linear/gemm_tensor.cuh"

namespace foretoken::cuda {

template <typename Loop, typename Epilogue>
__global__ void __launch_bounds__(Loop::Block::kThreads, Loop::kBlocksEach)
    gemm_kernel(const Gemm gemm, const Epilogue epilogue, const int64_t depth) {
  FORETOKEN_DYNAMIC_SHARED(memory);
  if (!epilogue.wanted()) return;
  using Block = typename Loop::Block;
  const Place place = place_of(gemm, Block::kRows, Block::kCols, blockIdx.x, depth);
  if (place.row >= place.m) return;
  typename Block::Sums sums;
  sums.first_row = place.row + Block::warp_row();
  sums.first_col = place.col + Block::warp_col();
  sums.m = place.m;
  sums.n = gemm.n;
  if constexpr (requires { epilogue.begin(sums); }) epilogue.begin(sums);
  else sums.clear();
  Loop::run(gemm, place, memory, sums);
  if (!sums.is_outside()) epilogue(static_cast<const typename Block::Sums&>(sums));
  if constexpr (requires { epilogue.template end_of_block<Block::kThreads>(); }) {
    epilogue.template end_of_block<Block::kThreads>();
  }
}

constexpr int kStripOfMultiply = 64;

// The slices of k are the second dimension of the grid: an epilogue gets the sums of its own, blockIdx.y.
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
  // A wave of wide tiles, as H100s run it.
  constexpr int64_t kEnoughClusters = 66;
  const bool wide = Wide::items(gemm.m, gemm.n) * slices >= kEnoughClusters;
  if (wide) multiply_on_hopper<Wide>(context, gemm, epilogue, slices, depth);
  else multiply_on_hopper<Narrow>(context, gemm, epilogue, slices, depth);
}

// Which blocks C is cut into is for the shape alone to say, and no bit depends on it.
template <Form kForm, typename Epilogue>
void multiply_slices(const Context& context, const Gemm& gemm, const Epilogue& epilogue, int64_t slices,
                     int64_t depth) {
  if (runs_on_hopper(context, gemm)) {
    return multiply_tiles_on_hopper<kForm>(context, gemm, epilogue, slices, depth);
  }
  constexpr int64_t kEnoughBlocks = 96;
  const bool large = divide_up(gemm.m, 128) * divide_up(gemm.n, 128) * slices >= kEnoughBlocks;
  const bool tensor = gemm.a.dtype == DType::kBFloat16 && gemm.b.dtype == DType::kBFloat16;
  // A warp's 64 x 64 needs the fewest bytes from shared memory for its multiply-adds, of what fits into registers;
  // without tensor cores, the next tiles of both operands must fit beside it.
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

// The whole of k in one slice.
template <Form kForm, typename Epilogue>
void multiply(const Context& context, const Gemm& gemm, const Epilogue& epilogue) {
  multiply_slices<kForm>(context, gemm, epilogue, 1, gemm.k);
}

}  // namespace foretoken::cuda
