// The main loop of a product of bfloat16 matrices on compute capability 9.0. One warpgroup has the copy engine load
// tiles into a ring in shared memory; two others multiply them (wgmma), 64 rows of C each. Blocks are persistent: a
// block goes from one tile of C to the next, so the copies for a tile run while the tile before is in its epilogue. The
// blocks of a cluster lie below each other in C and share b: each block loads its part of a tile of b into the shared
// memory of all.
#pragma once

#include <algorithm>

#include "csrc/cuda/linear/epilogue_hooks.cuh"
#include "csrc/cuda/linear/gemm_hopper_tiles.cuh"

namespace foretoken::cuda {

// A position in the ring: the stage and the parity of the n-th tile. The copying and the multiplying warps each keep
// their own.
template <int kStages>
struct RingPlace {
  int stage = 0;
  uint32_t parity = 0;

  FORETOKEN_DEVICE void advance() {
    if (++stage < kStages) return;
    stage = 0;
    parity ^= 1;
  }
};

// The shared memory that an epilogue has for each warp.
template <typename Epilogue, bool kHasMemory = Epilogue::Hooks::has(Hook::kWarpMemory)>
struct EpilogueMemory {
  struct OfWarp {};
};
template <typename Epilogue>
struct EpilogueMemory<Epilogue, true> {
  using OfWarp = typename Epilogue::WarpMemory;
};

// A block computes kCols columns of C with kStages tiles in the ring; kCluster blocks share b. Why these numbers:
//
// With 256 columns, a multiprocessor reads 10 KiB of shared memory in the 128 cycles of a product of 64 x 256 x 16; it
// could read 16. With 64 columns it reads 4 KiB in 32 cycles, which is its limit, so the tensor cores reach half of
// their rate at best. From the second-level cache it reads 48 KiB every 1024 cycles, or 47 bytes a cycle, about its
// share of the bandwidth. Two blocks that share b halve the cost of b: 31 bytes a cycle in all. Clusters of four would
// leave some multiprocessors without a cluster. Four stages take 192 of 227 KiB and hide 3000 cycles; three would leave
// an epilogue 80 KiB instead of 32.
template <Form kForm_, int kCols_, int kStages_, int kCluster_>
struct HopperLoop {
  static constexpr Form kForm = kForm_;
  static constexpr int kCols = kCols_, kStages = kStages_, kCluster = kCluster_;
  static constexpr int kWarpgroup = 4 * kWarp;
  static constexpr int kThreads = 3 * kWarpgroup;
  static constexpr int kRows = 128, kRowsOfWarpgroup = 64;
  static constexpr int kColsOfPart = kCols / kCluster;  // the columns of b that one block loads for its cluster
  using TileA = HopperTile<major_of_a(kForm), kRows>;
  using TileB = HopperTile<major_of_b(kForm), kCols>;
  static constexpr int kDepth = TileA::kDepth;
  static_assert(kCounted % (kCluster * kRows) == 0 && kCounted % kDepth == 0);
  // Each of the three warpgroups is launched with 168 registers a thread; the copying one gives most of its own to the
  // others.
  static constexpr int kRegistersOfCopies = 56, kRegistersOfProducts = 224;
  using Ring = RingPlace<kStages>;
  // An epilogue takes a warp's sums strip by strip.
  static constexpr int kStrip = 64, kStrips = kCols / kStrip;
  using Strip = Fragment<1, kStrip / 8>;

  struct Memory {
    struct alignas(1024) Stage {
      BFloat16 a[TileA::kElements], b[TileB::kElements];
    };
    Stage stages[kStages];
    uint64_t full[kStages];   // barriers: the tiles have arrived
    uint64_t empty[kStages];  // barriers: all blocks of the cluster have finished with the tiles
  };
  // With the epilogue's memory for each warp that multiplies.
  template <typename Epilogue>
  struct MemoryWith : Memory {
    typename EpilogueMemory<Epilogue>::OfWarp of_warp[2 * kWarpgroup / kWarp];
  };

  static TensorMap map_a(const Gemm& gemm) { return TileA::map(gemm.a, gemm.m, gemm.k, kRows); }
  static TensorMap map_b(const Gemm& gemm) { return TileB::map(gemm.b, gemm.n, gemm.k, kColsOfPart); }

  // The number of items in `rows` x `cols` of C. An item is the work of a cluster: kCluster tiles below each other.
  static FORETOKEN_HOST_DEVICE int64_t items(int64_t rows, int64_t cols) {
    return ((rows + kCluster * kRows - 1) / (kCluster * kRows)) * ((cols + kCols - 1) / kCols);
  }

  // Calls f(place, steps) for each tile of C that this block computes, in the order of their items.
  template <typename F>
  static FORETOKEN_DEVICE void for_each_tile(const Gemm& gemm, int64_t depth, F&& f) {
    const int64_t end = items(counted(gemm.m, gemm.m_count), gemm.n);
    for (int64_t item = blockIdx.x / kCluster; item < end; item += gridDim.x / kCluster) {
      Place place = place_of(gemm, kCluster * kRows, kCols, item, depth);
      place.row += ptx::cluster_rank() * kRows;
      const int64_t k = place.k_end - place.k_begin;
      f(place, k > 0 ? static_cast<int>((k + kDepth - 1) / kDepth) : 0);
    }
  }

  static FORETOKEN_DEVICE void initialise(Memory& memory) {
    if (threadIdx.x == 0) {
      for (int i = 0; i < kStages; ++i) {
        ptx::mbarrier_init(&memory.full[i], 1);
        ptx::mbarrier_init(&memory.empty[i], kCluster * 2 * kWarpgroup / kWarp);
      }
      ptx::fence_mbarrier_init();
    }
    __syncwarp();
    ptx::cluster_sync();
  }

  // Loads all tiles of this block. Called by one thread.
  static FORETOKEN_DEVICE void copy(Memory& memory, const TensorMap& map_a, const TensorMap& map_b, const Gemm& gemm,
                                    int64_t depth) {
    Ring ring;
    const auto rank = static_cast<int>(ptx::cluster_rank());
    for_each_tile(gemm, depth, [&](const Place& place, int steps) {
      const auto row = static_cast<int>(place.row), col = static_cast<int>(place.col) + rank * kColsOfPart;
      auto k = static_cast<int>(place.k_begin);
      for (int step = 0; step < steps; ++step, k += kDepth) {
        auto& stage = memory.stages[ring.stage];
        uint64_t* const full = &memory.full[ring.stage];
        ptx::mbarrier_wait_cluster(&memory.empty[ring.stage], ring.parity ^ 1);
        ptx::mbarrier_arrive_expect(full, sizeof stage);
        load<TileA, kRows>(stage.a, map_a, row, k, [&](BFloat16* to, int column, int line) {
          ptx::tensor_load(to, &map_a, column, line, full);
        });
        load<TileB, kColsOfPart>(stage.b + rank * kColsOfPart * kDepth, map_b, col, k,
                                 [&](BFloat16* to, int column, int line) {
                                   if constexpr (kCluster == 1) {
                                     ptx::tensor_load(to, &map_b, column, line, full);
                                   } else {
                                     ptx::tensor_load_multicast(to, &map_b, column, line, full, (1 << kCluster) - 1);
                                   }
                                 });
        ring.advance();
      }
    });
  }

  // Multiplies all tiles and runs the epilogue. Called by the two warpgroups that multiply.
  template <typename Epilogue>
  static FORETOKEN_DEVICE void multiply(MemoryWith<Epilogue>& memory, const Gemm& gemm, const Epilogue& epilogue,
                                        int64_t depth) {
    Ring ring;
    for_each_tile(gemm, depth, [&](const Place& place, int steps) {
      const int64_t row = place.row + row_of_warp();
      float sums[kCols / 2];
      begin(gemm, place, row, epilogue, sums);
      const auto prepared = prepare(epilogue, strip(gemm, place, row, 0));
      multiply_tile(memory, steps, ring, sums);
      finish(memory, gemm, place, row, epilogue, prepared, sums);
    });
    if constexpr (Epilogue::Hooks::has(Hook::kEnd)) epilogue.end();
  }

 private:
  static FORETOKEN_DEVICE int row_of_warpgroup() {
    return (static_cast<int>(threadIdx.x) / kWarpgroup - 1) * kRowsOfWarpgroup;
  }
  static FORETOKEN_DEVICE int row_of_warp() {
    return row_of_warpgroup() + static_cast<int>(threadIdx.x) / kWarp % 4 * 16;
  }

  static FORETOKEN_DEVICE void multiply_tile(Memory& memory, int steps, Ring& ring, float (&sums)[kCols / 2]) {
    if (steps == 0) return;
    const auto multiply_stage = [&] {
      const auto& stage = memory.stages[ring.stage];
      ptx::mbarrier_wait(&memory.full[ring.stage], ring.parity);
      ptx::wgmma_fence(sums);
#pragma unroll
      for (int k = 0; k < kDepth; k += 16) {
        ptx::wgmma_bf16<kCols, TileA::kMajorOfProduct, TileB::kMajorOfProduct>(
            sums, TileA::operand(stage.a, row_of_warpgroup(), k), TileB::operand(stage.b, 0, k), true);
      }
      ptx::wgmma_commit();
    };
    // The first stage stays outside the loop: ptxas serializes all products if start values and the loop's sums merge
    // at its head.
    multiply_stage();
    for (int step = 1; step < steps; ++step) {
      const int before = ring.stage;
      ring.advance();
      multiply_stage();
      // Now the products of the stage before have finished, so the stage can be filled again.
      ptx::wgmma_wait<1>(sums);
      release(memory, before);
    }
    ptx::wgmma_wait<0>(sums);
    release(memory, ring.stage);
    ring.advance();
  }

  // Calls copy(to, column, line) for the boxes that cover kOuter elements of the outer index, from `outer` on.
  template <typename Tile, int kOuter, typename Copy>
  static FORETOKEN_DEVICE void load(BFloat16* to, const TensorMap& map, int outer, int k, Copy&& copy) {
    if constexpr (Tile::kInnerMajor) {
      copy(to, k, outer);
    } else {
#pragma unroll
      for (int i = 0; i < kOuter; i += 64) copy(to + i * kDepth, outer + i, k);
    }
  }

  // Tells every block of the cluster that this warp's products have read the stage; lane i tells block i.
  static FORETOKEN_DEVICE void release(Memory& memory, int stage) {
    const unsigned lane = threadIdx.x % kWarp;
    if constexpr (kCluster == 1) {
      if (lane == 0) ptx::mbarrier_arrive(&memory.empty[stage]);
    } else {
      if (lane < kCluster) ptx::mbarrier_arrive_at(&memory.empty[stage], lane);
    }
  }

  static FORETOKEN_DEVICE Strip strip(const Gemm& gemm, const Place& place, int64_t row, int number) {
    Strip strip;
    strip.first_row = row;
    strip.first_col = place.col + number * kStrip;
    strip.m = place.m;
    strip.n = gemm.n;
    return strip;
  }

  template <typename Epilogue>
  static FORETOKEN_DEVICE void begin(const Gemm& gemm, const Place& place, int64_t row, const Epilogue& epilogue,
                                     float (&sums)[kCols / 2]) {
#pragma unroll
    for (int s = 0; s < kStrips; ++s) {
      Strip fragment = strip(gemm, place, row, s);
      if constexpr (Epilogue::Hooks::has(Hook::kBegin)) epilogue.begin(fragment);
      else fragment.clear();
#pragma unroll
      for (int i = 0; i < kStrip / 2; ++i) sums[s * (kStrip / 2) + i] = fragment.sums[0][i / 4][i % 4];
    }
  }

  struct Nothing {};

  template <typename Epilogue>
  static FORETOKEN_DEVICE auto prepare(const Epilogue& epilogue, const Strip& fragment) {
    if constexpr (Epilogue::Hooks::has(Hook::kPrepare)) return epilogue.prepare(fragment);
    else return Nothing();
  }

  template <typename Epilogue, typename Prepared>
  static FORETOKEN_DEVICE void finish(MemoryWith<Epilogue>& memory, const Gemm& gemm, const Place& place, int64_t row,
                                      const Epilogue& epilogue, [[maybe_unused]] const Prepared& prepared,
                                      float (&sums)[kCols / 2]) {
    [[maybe_unused]] auto& of_warp = memory.of_warp[threadIdx.x / kWarp - kWarpgroup / kWarp];
    const auto finish_strip = [&](int number, const float* of_strip) {
      Strip fragment = strip(gemm, place, row, number);
      if (fragment.is_outside()) return;
#pragma unroll
      for (int i = 0; i < kStrip / 2; ++i) fragment.sums[0][i / 4][i % 4] = of_strip[i];
      if constexpr (Epilogue::Hooks::has(Hook::kWarpMemory)) epilogue(fragment, of_warp);
      else if constexpr (Epilogue::Hooks::has(Hook::kPrepare)) epilogue(fragment, prepared);
      else epilogue(static_cast<const Strip&>(fragment));
    };
    if constexpr (Epilogue::Hooks::has(Hook::kRollStrips)) {
      // One copy of the code reads the first registers of `sums`, so the sums of the next strip move there.
#pragma unroll 1
      for (int s = 0; s < kStrips; ++s) {
        finish_strip(s, sums);
#pragma unroll
        for (int i = 0; i + kStrip / 2 < kCols / 2; ++i) sums[i] = sums[i + kStrip / 2];
      }
    } else {
#pragma unroll
      for (int s = 0; s < kStrips; ++s) finish_strip(s, sums + s * (kStrip / 2));
    }
  }
};

template <typename Loop, typename Epilogue>
__global__ void __launch_bounds__(Loop::kThreads, 1)
    gemm_hopper_kernel(const __grid_constant__ TensorMap map_a, const __grid_constant__ TensorMap map_b,
                       const Gemm gemm, const __grid_constant__ Epilogue epilogue, const int64_t depth) {
#if FORETOKEN_WGMMA
  FORETOKEN_DYNAMIC_SHARED(bytes);
  static_assert(
      check_hooks<Epilogue, typename Loop::Strip,
                  HookList<Hook::kBegin, Hook::kPrepare, Hook::kWarpMemory, Hook::kEnd, Hook::kRollStrips>>());
  if (!epilogue.wanted()) return;
  auto& memory = *reinterpret_cast<typename Loop::template MemoryWith<Epilogue>*>(bytes);
  Loop::initialise(memory);
  if (threadIdx.x < Loop::kWarpgroup) {
    ptx::lower_registers<Loop::kRegistersOfCopies>();
    if (threadIdx.x == 0) Loop::copy(memory, map_a, map_b, gemm, depth);
  } else {
    ptx::raise_registers<Loop::kRegistersOfProducts>();
    Loop::multiply(memory, gemm, epilogue, depth);
  }
  // No block exits while others of its cluster may still write to its memory or arrive at its barriers.
  __syncwarp();
  ptx::cluster_sync();
#endif
}

// Whether the copy engine can read the operand: bfloat16 rows that begin at multiples of 16 bytes.
inline bool fits_hopper(const Operand& operand) {
  return operand.dtype == DType::kBFloat16 && operand.rows == nullptr && operand.stride % 8 == 0 &&
         reinterpret_cast<uintptr_t>(operand.data) % 16 == 0;
}

// Whether products of this kind run on wgmma. Only the device and the layout of the operands decide.
inline bool runs_on_hopper(const Context& context, const Gemm& gemm) {
  constexpr int64_t kMost = int64_t{1} << 31;  // coordinates of boxes are 32-bit integers
  return context.compute_capability == 90 && fits_hopper(gemm.a) && fits_hopper(gemm.b) && gemm.k > 0 &&
         std::max(std::max(gemm.m, gemm.n), gemm.k) < kMost;
}

template <typename Loop, typename Epilogue>
void multiply_on_hopper(const Context& context, const Gemm& gemm, const Epilogue& epilogue, int64_t slices,
                        int64_t depth) {
  // No more clusters than run at the same time: a later one would start when all other tiles are finished.
  const int64_t clusters = std::max<int64_t>(context.multiprocessors / slices / Loop::kCluster, 1);
  const int64_t blocks = std::min(Loop::items(gemm.m, gemm.n), clusters) * Loop::kCluster;
  if (blocks == 0) return;
  launch_clusters(context, gemm_hopper_kernel<Loop, Epilogue>,
                  dim3(static_cast<unsigned>(blocks), static_cast<unsigned>(slices)), dim3(Loop::kThreads),
                  Loop::kCluster, sizeof(typename Loop::template MemoryWith<Epilogue>), Loop::map_a(gemm),
                  Loop::map_b(gemm), gemm, epilogue, depth);
}

}  // namespace foretoken::cuda
