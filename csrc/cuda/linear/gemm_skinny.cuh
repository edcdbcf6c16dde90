// The matrix product of decoding, C = x W^T for few rows of x: it reads W once, and a row of C has the same bits
// whatever other rows there are.
//
// bfloat16: the rows of W are the 16 rows of mma and the rows of x its 8 columns, so a few rows of x waste little.
// Lanes load 16 bytes of either operand straight into fragments: an mma may hold the elements of k in any order that is
// the same on both sides. The warps of a block split k among them and add their sums in order through shared memory;
// both depend on k alone. Lanes read these sums in the layout of the other products (gemm.cuh), in strips of 16
// columns, so the same epilogues serve.
//
// Other types: the multiply-adds of gemm_fma.cuh, in narrower blocks.
#pragma once

#include "csrc/cuda/linear/gemm.cuh"

namespace foretoken::cuda {

// A block's part of C: kTiles times 8 rows of x and kSlabs times 16 rows of W. As many rows of W as of x, so that it
// reads no more of x (from the second-level cache) than of W; or only 16 if that would give too few blocks.
template <int kTiles_, int kSlabs_>
struct SkinnyShape {
  static constexpr int kTiles = kTiles_, kSlabs = kSlabs_;
  static constexpr int kRows = 8 * kTiles, kCols = 16 * kSlabs;
  static constexpr int kWarps = 8, kThreads = kWarp * kWarps;
  // A warp takes every kWarps-th run of 64 elements of k: one line of 128 bytes of each row of W. It reads kStepsAtOnce
  // steps of 32 elements at once. Then 32 to 64 KiB of W a multiprocessor are in flight, once to twice as much as
  // hiding the latency of memory takes; more would not fit into registers.
  static constexpr int kRun = 64, kStep = 32;
  static constexpr int kStepsAtOnce = kTiles <= 2 ? 4 : kSlabs == 1 ? 2 : 1;
  static constexpr int kBlocksEach = kTiles > 4 ? 1 : 2;  // blocks a multiprocessor
  // A slab is finished in parts of 16 rows of x, one warp each.
  static constexpr int kParts = (kTiles + 1) / 2;
  static constexpr int kPartsEach = (kParts * kSlabs + kWarps - 1) / kWarps;
};

struct alignas(16) Octet {
  uint32_t pairs[4];
};

// Elements k … k + 7 of a row, with zeros from k_end on; only zeros for row -1.
template <bool kAligned>
FORETOKEN_DEVICE Octet load_octet(const Operand& operand, int64_t row, int64_t k, int64_t k_end) {
  Octet octet{};
  if (row < 0 || k >= k_end) return octet;
  const BFloat16* const from = static_cast<const BFloat16*>(operand.data) + row * operand.stride + k;
  if constexpr (kAligned) {
    octet = *reinterpret_cast<const Octet*>(from);
  } else {
#pragma unroll
    for (int e = 0; e < 8; ++e) {
      if (k + e < k_end) octet.pairs[e / 2] |= static_cast<uint32_t>(from[e].bits) << e % 2 * 16;
    }
  }
  return octet;
}

template <typename Shape>
struct SkinnyLoop {
  using Sums = float[Shape::kSlabs][Shape::kTiles][4];

  const Gemm& gemm;
  int x[Shape::kTiles];  // the stored rows of x that this lane reads; -1: outside C
  const int64_t w;       // the first row of W that it reads

  FORETOKEN_DEVICE SkinnyLoop(const Gemm& gemm, int64_t first_row, int64_t m, int64_t first_col)
      : gemm(gemm), w(first_col + threadIdx.x % kWarp / 4) {
#pragma unroll
    for (int j = 0; j < Shape::kTiles; ++j) {
      const int64_t row = first_row + 8 * j + threadIdx.x % kWarp / 4;
      x[j] = row >= m ? -1 : gemm.a.rows ? gemm.a.rows[row] : static_cast<int>(row);
    }
  }

  template <bool kAligned>
  FORETOKEN_DEVICE void run(Sums& sums) const {
    constexpr int kAtOnce = Shape::kStepsAtOnce, kStepsOfRun = Shape::kRun / Shape::kStep;
    const int warp = static_cast<int>(threadIdx.x) / kWarp, t = static_cast<int>(threadIdx.x) % 4;
    const auto first_k = [&](int step) {
      return (step / kStepsOfRun * Shape::kWarps + warp) * Shape::kRun + step % kStepsOfRun * Shape::kStep;
    };
    for (int step = 0; first_k(step) < gemm.k; step += kAtOnce) {
      Octet of_w[kAtOnce][Shape::kSlabs][2], of_x[kAtOnce][Shape::kTiles];
#pragma unroll
      for (int s = 0; s < kAtOnce; ++s) {
        const int64_t k = first_k(step + s) + 8 * t;
#pragma unroll
        for (int i = 0; i < 2 * Shape::kSlabs; ++i) {
          const int64_t row = w + 8 * i < gemm.n ? w + 8 * i : -1;
          of_w[s][i / 2][i % 2] = load_octet<kAligned>(gemm.b, row, k, gemm.k);
        }
#pragma unroll
        for (int j = 0; j < Shape::kTiles; ++j) of_x[s][j] = load_octet<kAligned>(gemm.a, x[j], k, gemm.k);
      }
#pragma unroll
      for (int s = 0; s < kAtOnce; ++s) {
#pragma unroll
        for (int half = 0; half < 4; half += 2) {
#pragma unroll
          for (int i = 0; i < Shape::kSlabs; ++i) {
            const auto &low = of_w[s][i][0].pairs, &high = of_w[s][i][1].pairs;
#pragma unroll
            for (int j = 0; j < Shape::kTiles; ++j) {
              ptx::mma_m16n8k16_bf16(sums[i][j], {low[half], high[half], low[half + 1], high[half + 1]},
                                     {of_x[s][j].pairs[half], of_x[s][j].pairs[half + 1]});
            }
          }
        }
      }
    }
  }
};

// Adds the warps' sums of 16 rows of a slab, from `row` on, in the order of the warps.
template <int kWarps, int kRows, int kStride>
FORETOKEN_DEVICE void add_warps(const float (&shared)[kWarps][kRows][kStride], int row, Fragment<1, 2>& part) {
  const int g = static_cast<int>(threadIdx.x) % kWarp / 4, t = static_cast<int>(threadIdx.x) % 4;
#pragma unroll
  for (int i = 0; i < part.kRows; ++i) {
    if (row + 8 * i >= kRows) break;
#pragma unroll
    for (int j = 0; j < part.kCols; ++j) {
#pragma unroll
      for (int warp = 0; warp < kWarps; ++warp) {
        part.at(i, j) += shared[warp][row + 8 * i + g][j / 2 * 8 + 2 * t + j % 2];
      }
    }
  }
}

template <typename Shape, typename Epilogue>
__global__ void __launch_bounds__(Shape::kThreads, Shape::kBlocksEach)
    skinny_kernel(const Gemm gemm, const Epilogue epilogue) {
  constexpr int kStride = 20;  // puts the rows that a warp writes at once into different banks
  FORETOKEN_SHARED(float, shared, [Shape::kWarps][Shape::kRows][kStride]);
  static_assert(check_hooks<Epilogue, Fragment<1, 2>, HookList<Hook::kEndOfBlock>>());
  if (!epilogue.wanted()) return;
  // Neighbouring blocks, which run at the same time, read the same rows of W.
  const int64_t slices = (gemm.m + Shape::kRows - 1) / Shape::kRows;
  const int64_t first_row = blockIdx.x % slices * Shape::kRows, first_col = blockIdx.x / slices * Shape::kCols;
  const int64_t m = counted(gemm.m, gemm.m_count);
  if (first_row >= m) return;

  typename SkinnyLoop<Shape>::Sums sums = {};
  const SkinnyLoop<Shape> loop(gemm, first_row, m, first_col);
  const auto is_aligned = [&](const Operand& operand) {
    return operand.stride % 8 == 0 && gemm.k % 8 == 0 && reinterpret_cast<uintptr_t>(operand.data) % sizeof(Octet) == 0;
  };
  if (is_aligned(gemm.a) && is_aligned(gemm.b)) loop.template run<true>(sums);
  else loop.template run<false>(sums);

  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const int g = lane / 4, t = lane % 4;
  // A part of C is 16 rows of x by a slab; this warp finishes the parts warp, warp + kWarps, …
  Fragment<1, 2> parts[Shape::kPartsEach];
#pragma unroll
  for (int e = 0; e < Shape::kPartsEach; ++e) {
    const int p = warp + e * Shape::kWarps;
    parts[e].clear();
    parts[e].first_row = first_row + p % Shape::kParts * 16;
    parts[e].first_col = first_col + p / Shape::kParts * 16;
    parts[e].m = m;
    parts[e].n = gemm.n;
  }
#pragma unroll
  for (int slab = 0; slab < Shape::kSlabs; ++slab) {
    if (slab > 0) __syncthreads();
#pragma unroll
    for (int j = 0; j < Shape::kTiles; ++j) {
#pragma unroll
      for (int e = 0; e < 4; ++e) shared[warp][8 * j + 2 * t + e % 2][g + e / 2 * 8] = sums[slab][j][e];
    }
    __syncthreads();
#pragma unroll
    for (int p = slab * Shape::kParts; p < (slab + 1) * Shape::kParts; ++p) {
      if (p % Shape::kWarps == warp) add_warps(shared, p % Shape::kParts * 16, parts[p / Shape::kWarps]);
    }
  }
#pragma unroll
  for (int e = 0; e < Shape::kPartsEach; ++e) {
    const Fragment<1, 2>& part = parts[e];
    if (warp + e * Shape::kWarps < Shape::kParts * Shape::kSlabs && !part.is_outside()) epilogue(part);
  }
  if constexpr (Epilogue::Hooks::has(Hook::kEndOfBlock)) epilogue.template end_of_block<Shape::kThreads>();
}

constexpr int kStripOfRows = Fragment<1, 2>::kStrip;

// C = a b^T, with both operands stored as [rows, k].
template <typename Epilogue>
void multiply_rows(const Context& context, const Gemm& gemm, const Epilogue& epilogue) {
  const auto launch_shape = [&](auto shape) {
    using Shape = decltype(shape);
    const int64_t blocks = divide_up(gemm.m, Shape::kRows) * divide_up(gemm.n, Shape::kCols);
    launch(context, skinny_kernel<Shape, Epilogue>, dim3(static_cast<unsigned>(blocks)), dim3(Shape::kThreads), 0, gemm,
           epilogue);
  };
  if (gemm.a.dtype != DType::kBFloat16 || gemm.b.dtype != DType::kBFloat16) {
    using Block = BlockShape<1, 4, 1, 2>;
    static_assert(Block::Sums::kStrip == kStripOfRows);
    multiply_in<FmaLoop<Block, Form::kNT, 32>>(context, gemm, epilogue, 1, gemm.k);
    return;
  }
  // From this many columns on, blocks of 64 columns are enough to fill a GPU.
  constexpr int64_t kManyColumns = 6144;
  const bool many = gemm.n >= kManyColumns;
  if (gemm.m <= 8) launch_shape(SkinnyShape<1, 1>());
  else if (gemm.m <= 16) launch_shape(SkinnyShape<2, 1>());
  else if (gemm.m <= 32 && many) launch_shape(SkinnyShape<4, 2>());
  else if (gemm.m <= 32) launch_shape(SkinnyShape<4, 1>());
  else if (many) launch_shape(SkinnyShape<8, 4>());
  else launch_shape(SkinnyShape<8, 1>());
}

}  // namespace foretoken::cuda
