// The main loop of a product of bfloat16 matrices: tensor cores (mma), fed by a ring of tiles in shared memory.
//
// A tile is kDepth deep in k and has the layout of its operand in memory: [outer][k] or [k][outer]. ldmatrix transposes
// the latter on the way into registers. Chunks of 16 bytes are swizzled: the eight rows that one phase of ldmatrix
// reads lie in different banks.
#pragma once

#include "csrc/cuda/linear/gemm_block.cuh"

namespace foretoken::cuda {

constexpr int kChunk = 8;  // elements of 16 bytes

// Copies the tiles of one operand, kOuter rows (or columns) of C wide, with the kThreads threads of a block.
template <Major kMajor, int kOuter, int kDepth, int kThreads>
struct TensorTile {
  static constexpr bool kInnerMajor = kMajor == Major::kInner;
  static constexpr int kRows = kInnerMajor ? kOuter : kDepth;
  static constexpr int kChunks = (kInnerMajor ? kDepth : kOuter) / kChunk;  // of a row
  static constexpr int kElements = kOuter * kDepth;
  static constexpr int kEach = kRows * kChunks / kThreads;  // chunks that a thread copies
  static constexpr int kPointers = kInnerMajor ? kEach : 1;
  static_assert(kThreads % kChunks == 0 && kRows * kChunks % kThreads == 0);
  static_assert(kChunks == 4 || kChunks % 8 == 0);

  static FORETOKEN_DEVICE int place(int row, int chunk) {
    return (row * kChunks + (kChunks == 4 ? chunk ^ (row / 2 % 4) : chunk ^ (row % 8))) * kChunk;
  }

  // This thread copies chunk `chunk` of rows `row`, row + kRows / kEach, …
  const BFloat16* from[kPointers];  // in the next tile; null for rows outside C
  const BFloat16* data;
  int64_t step;       // from one tile to the next
  int64_t each_step;  // from one chunk to the next, if one pointer is enough
  int row, chunk;
  int outer_left;  // elements of the chunk inside C, if a chunk runs along the outer index
  bool aligned;

  FORETOKEN_DEVICE TensorTile(const Operand& operand, int64_t first_outer, int64_t outer, int64_t first_k)
      : data(static_cast<const BFloat16*>(operand.data)),
        step(kInnerMajor ? kDepth : kDepth * operand.stride),
        each_step(kRows / kEach * operand.stride),
        row(static_cast<int>(threadIdx.x) / kChunks),
        chunk(static_cast<int>(threadIdx.x) % kChunks),
        aligned(operand.stride % kChunk == 0 && reinterpret_cast<uintptr_t>(operand.data) % 16 == 0) {
    const int64_t left = outer - first_outer - chunk * kChunk;
    outer_left = left < kChunk ? static_cast<int>(left) : kChunk;
    if constexpr (kInnerMajor) {
#pragma unroll
      for (int i = 0; i < kEach; ++i) {
        const int64_t r = first_outer + row + i * (kRows / kEach);
        const int64_t stored = r < outer && operand.rows ? operand.rows[r] : r;
        from[i] = r < outer ? data + stored * operand.stride + first_k + chunk * kChunk : nullptr;
      }
    } else {
      from[0] = data + (first_k + row) * operand.stride + first_outer + chunk * kChunk;
    }
  }

  // Copies the next tile, with zeros for elements outside the operand. `k_left` elements of k are left, counted from
  // the tile's first.
  FORETOKEN_DEVICE void copy_next(BFloat16* tile, int k_left) {
    const int most = k_left < kDepth ? k_left : kDepth;
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      const int r = row + i * (kRows / kEach);
      int left;  // elements of the chunk that lie inside; zero or less: none
      if constexpr (kInnerMajor) left = from[i] ? most - chunk * kChunk : 0;
      else left = r < most ? outer_left : 0;
      const BFloat16* const source = kInnerMajor ? from[i % kPointers] : from[0] + i * each_step;
      BFloat16* const to = tile + place(r, chunk);
      if (aligned && (left >= kChunk || left <= 0)) {
        ptx::cp_async_16(to, left > 0 ? source : data, left > 0);
      } else {
        Vector<BFloat16, kChunk> vector;
#pragma unroll
        for (int e = 0; e < kChunk; ++e) vector.elements[e] = e < left ? source[e] : BFloat16{0};
        *reinterpret_cast<Vector<BFloat16, kChunk>*>(to) = vector;
      }
    }
#pragma unroll
    for (int i = 0; i < kPointers; ++i) {
      if (!kInnerMajor || from[i]) from[i] += step;
    }
  }

  // Loads 16 elements of the outer index by 16 of k, as four 8 x 8 matrices for mma. With kOuterHalfFirst, matrix i is
  // half i % 2 of the outer index and half i / 2 of k; otherwise the other way round.
  template <bool kOuterHalfFirst>
  static FORETOKEN_DEVICE void load(uint32_t (&matrices)[4], const BFloat16* tile, int outer, int k) {
    const int lane = threadIdx.x % kWarp, low = lane / 8 % 2, high = lane / 16, r = lane % 8;
    const int outer_half = kOuterHalfFirst ? low : high, k_half = kOuterHalfFirst ? high : low;
    if constexpr (kInnerMajor) {
      ptx::ldmatrix_x4(matrices, tile + place(outer + 8 * outer_half + r, k / kChunk + k_half));
    } else {
      ptx::ldmatrix_x4_transposed(matrices, tile + place(k + 8 * k_half + r, outer / kChunk + outer_half));
    }
  }
};

// Keeps kStages tiles in shared memory, all but one of them in flight. Three stages hide the latency of memory behind
// two tiles of multiply-adds, and let two blocks of the large shape share a multiprocessor with 100 KiB; a fourth would
// pay off if only one block fitted. A kDepth of 64 would halve the barriers for twice the memory.
template <typename Block_, Form kForm_, int kDepth_ = 32, int kStages_ = 3>
struct TensorLoop {
  using Block = Block_;
  static constexpr int kDepth = kDepth_, kStages = kStages_;
  using TileA = TensorTile<major_of_a(kForm_), Block::kRows, kDepth, Block::kThreads>;
  using TileB = TensorTile<major_of_b(kForm_), Block::kCols, kDepth, Block::kThreads>;
  static constexpr int kStageElements = TileA::kElements + TileB::kElements;
  static constexpr size_t kSharedBytes = kStages * kStageElements * sizeof(BFloat16);
  static constexpr int kBlocksEach = 2;  // blocks a multiprocessor, which limits registers

  static FORETOKEN_DEVICE void run(const Gemm& gemm, const Place& place, void* memory, typename Block::Sums& sums) {
    auto* const ring = static_cast<BFloat16*>(memory);
    TileA a(gemm.a, place.row, place.m, place.k_begin);
    TileB b(gemm.b, place.col, gemm.n, place.k_begin);
    int to_copy = static_cast<int>(place.k_end - place.k_begin);  // of k
    const int steps = (to_copy + kDepth - 1) / kDepth;
    // Every step commits a group, even an empty one, so that counting groups counts tiles.
    const auto copy = [&](BFloat16* to) {
      if (to_copy > 0) {
        a.copy_next(to, to_copy);
        b.copy_next(to + TileA::kElements, to_copy);
      }
      to_copy -= kDepth;
      ptx::cp_async_commit();
    };
#pragma unroll
    for (int i = 0; i < kStages - 1; ++i) copy(ring + i * kStageElements);
    BFloat16* const last = ring + (kStages - 1) * kStageElements;
    BFloat16 *stage = ring, *free = last;
    for (int step = 0; step < steps; ++step) {
      ptx::cp_async_wait<kStages - 2>();
      // Now all threads' copies of this stage have arrived, and all have finished with the stage before, which the next
      // copy overwrites.
      __syncthreads();
      copy(free);
      multiply_tiles(stage, stage + TileA::kElements, sums);
      free = stage;
      stage = stage == last ? ring : stage + kStageElements;
    }
  }

  static FORETOKEN_DEVICE void multiply_tiles(const BFloat16* tile_a, const BFloat16* tile_b,
                                              typename Block::Sums& sums) {
    static_assert(Block::kColTiles % 2 == 0);
    const int row = Block::warp_row(), col = Block::warp_col();
#pragma unroll
    for (int k = 0; k < kDepth; k += 16) {
      uint32_t a[Block::kRowTiles][4], b[Block::kColTiles / 2][4];
#pragma unroll
      for (int i = 0; i < Block::kRowTiles; ++i) TileA::template load<true>(a[i], tile_a, row + 16 * i, k);
#pragma unroll
      for (int j = 0; j < Block::kColTiles / 2; ++j) TileB::template load<false>(b[j], tile_b, col + 16 * j, k);
#pragma unroll
      for (int i = 0; i < Block::kRowTiles; ++i) {
#pragma unroll
        for (int j = 0; j < Block::kColTiles; ++j) {
          ptx::mma_m16n8k16_bf16(sums.sums[i][j], a[i], {b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]});
        }
      }
    }
  }
};

}  // namespace foretoken::cuda
