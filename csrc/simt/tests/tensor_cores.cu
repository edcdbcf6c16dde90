// Products on tensor cores: mma.sync fed by cp.async, and wgmma fed by a copy engine through a ring of stages.
#include <cmath>

#include "csrc/cuda/common/numeric.cuh"
#include "csrc/cuda/ptx/ptx_hopper.cuh"
#include "csrc/cuda/ptx/ptx_wgmma.cuh"
#include "csrc/simt/tests/cases.h"

namespace foretoken::simt::tests {

namespace {

using cuda::BFloat16;
using cuda::Swizzle;
using cuda::TensorMap;
namespace ptx = cuda::ptx;

// --- matrices of small integers, whose products are exact in float32 ---

float element(size_t i) { return static_cast<float>(static_cast<int>(i * 7919 % 15) - 7); }

std::vector<BFloat16> matrix(size_t count, size_t seed) {
  std::vector<BFloat16> values(count);
  for (size_t i = 0; i < count; ++i) {
    const float x = element(i + seed);
    uint32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    values[i].bits = static_cast<uint16_t>(bits >> 16);
  }
  return values;
}

// Whether c[m, n] is a[m, k] * b[n, k]^T of matrix(…, 1) and matrix(…, 2).
bool is_product(const std::vector<float>& c, size_t m, size_t n, size_t k) {
  for (size_t i = 0; i < m; ++i) {
    for (size_t j = 0; j < n; ++j) {
      float sum = 0;
      for (size_t x = 0; x < k; ++x) sum += element(i * k + x + 1) * element(j * k + x + 2);
      if (c[i * n + j] != sum) return false;
    }
  }
  return true;
}

// --- mma.sync: tiles of 64 x 64, 32 deep, in two stages ---

enum class MmaFault { kNone, kNoWait, kNoBarrierBefore, kNoBarrierAfter, kEdge };

template <MmaFault kFault>
__global__ void __launch_bounds__(128)
    multiply_mma(const BFloat16* a, const BFloat16* b, float* c, int rows, int columns, int depth) {
  constexpr int kTile = 64, kDepth = 32, kStage = kTile * kDepth;
  FORETOKEN_DYNAMIC_SHARED(memory);
  auto* const tiles_a = reinterpret_cast<BFloat16*>(memory);
  BFloat16* const tiles_b = tiles_a + 2 * kStage;
  const int thread = threadIdx.x, lane = thread % 32, warp = thread / 32;
  const int warp_row = warp % 2 * 32, warp_column = warp / 2 * 32;
  const int first_row = blockIdx.y * kTile, first_column = blockIdx.x * kTile;
  const auto place = [](int row, int chunk) { return row * kDepth + (chunk ^ (row >> 1 & 3)) * 8; };
  const auto load = [&](BFloat16* to, const BFloat16* from, int first, int limit, int k) {
    for (int i = thread; i < kTile * 4; i += 128) {
      const int row = i / 4, chunk = i % 4;
      const bool inside = (kFault == MmaFault::kEdge || first + row < limit) && k + chunk * 8 < depth;
      const BFloat16* const source = from + static_cast<int64_t>(first + row) * depth + k + chunk * 8;
      ptx::cp_async_16(to + place(row, chunk), inside ? source : from, inside);
    }
  };
  const auto load_stage = [&](int stage, int k) {
    load(tiles_a + stage * kStage, a, first_row, rows, k);
    load(tiles_b + stage * kStage, b, first_column, columns, k);
    ptx::cp_async_commit();
  };
  float sums[2][4][4] = {};
  load_stage(0, 0);
  for (int k = 0; k < depth; k += kDepth) {
    const int stage = k / kDepth % 2;
    if (k + kDepth < depth) {
      load_stage(1 - stage, k + kDepth);
      ptx::cp_async_wait<1>();
    } else if (kFault == MmaFault::kNoWait) {
      ptx::cp_async_wait<1>();
    } else {
      ptx::cp_async_wait<0>();
    }
    if (kFault != MmaFault::kNoBarrierBefore) __syncthreads();
    for (int half = 0; half < 2; ++half) {
      uint32_t fragments_a[2][4], fragments_b[4][2];
      for (int i = 0; i < 2; ++i) {
        ptx::ldmatrix_x4(fragments_a[i],
                         tiles_a + stage * kStage + place(warp_row + 16 * i + lane % 16, half * 2 + lane / 16));
      }
      for (int j = 0; j < 4; j += 2) {
        uint32_t four[4];
        ptx::ldmatrix_x4(four, tiles_b + stage * kStage +
                                   place(warp_column + 8 * j + lane % 8 + lane / 16 * 8, half * 2 + lane / 8 % 2));
        for (int i = 0; i < 4; ++i) fragments_b[j + i / 2][i % 2] = four[i];
      }
      for (int i = 0; i < 2; ++i) {
        for (int j = 0; j < 4; ++j) ptx::mma_m16n8k16_bf16(sums[i][j], fragments_a[i], fragments_b[j]);
      }
    }
    if (kFault != MmaFault::kNoBarrierAfter) __syncthreads();
  }
  for (int i = 0; i < 2; ++i) {
    for (int j = 0; j < 4; ++j) {
      for (int e = 0; e < 4; ++e) {
        const int row = first_row + warp_row + 16 * i + lane / 4 + e / 2 * 8;
        const int column = first_column + warp_column + 8 * j + lane % 4 * 2 + e % 2;
        if (row < rows && column < columns) c[static_cast<int64_t>(row) * columns + column] = sums[i][j][e];
      }
    }
  }
}

template <MmaFault kFault>
void run_mma(Bench& bench) {
  constexpr int kRows = 100, kColumns = 72, kDepth = 104;
  const BFloat16* const a = bench.upload(matrix(kRows * kDepth, 1));
  const BFloat16* const b = bench.upload(matrix(kColumns * kDepth, 2));
  float* const c = bench.allocate<float>(kRows * kColumns);
  bench.launch(multiply_mma<kFault>, dim3(2, 2), dim3(128), 4 * 64 * 32 * 2, a, b, c, kRows, kColumns, kDepth);
  bench.expect(is_product(bench.download(c, kRows * kColumns), kRows, kColumns, kDepth), "the product is wrong");
}

CASE("mma", run_mma<MmaFault::kNone>);
CASE("mma: no wait for the last copies", run_mma<MmaFault::kNoWait>);
CASE("mma: no barrier before the tiles are read", run_mma<MmaFault::kNoBarrierBefore>);
CASE("mma: no barrier before the tiles are overwritten", run_mma<MmaFault::kNoBarrierAfter>);
CASE("mma: rows past the last are copied", run_mma<MmaFault::kEdge>);

// --- wgmma: one warp has tiles of 64 x 64 copied into three stages, four warps multiply ---

enum class WgmmaFault {
  kNone,
  kParity,
  kTooFewBytes,
  kTooManyBytes,
  kNoWaitForFull,
  kEarlyRelease,
  kNoWaitForProducts,
  kNoFence,
  kNoInitFence,
  kReleaseByOneWarp,
  kOnlyThreeWarps,
};

constexpr int kStages = 3, kTileBytes = 64 * 128;

template <WgmmaFault kFault>
__global__ void __launch_bounds__(160)
    multiply_wgmma(const __grid_constant__ TensorMap map_a, const __grid_constant__ TensorMap map_b, float* c, int rows,
                   int columns, int depth) {
  FORETOKEN_DYNAMIC_SHARED(memory);
  FORETOKEN_SHARED(uint64_t, full, [kStages]);
  FORETOKEN_SHARED(uint64_t, empty, [kStages]);
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, steps = (depth + 63) / 64;
  const int first_row = blockIdx.y * 64, first_column = blockIdx.x * 64;
  unsigned char *const tiles_a = memory, *const tiles_b = memory + kStages * kTileBytes;
  if (threadIdx.x == 0) {
    for (int i = 0; i < kStages; ++i) {
      ptx::mbarrier_init(&full[i], 1);
      ptx::mbarrier_init(&empty[i], kFault == WgmmaFault::kReleaseByOneWarp ? 1 : 128);
    }
    if (kFault != WgmmaFault::kNoInitFence) ptx::fence_mbarrier_init();
  }
  __syncthreads();
  if (warp == 4) {
    for (int step = 0; lane == 0 && step < steps; ++step) {
      const int stage = step % kStages, parity = step / kStages % 2;
      ptx::mbarrier_wait(&empty[stage], kFault == WgmmaFault::kParity ? parity : parity ^ 1);
      constexpr uint32_t kBytes = kFault == WgmmaFault::kTooFewBytes    ? kTileBytes
                                  : kFault == WgmmaFault::kTooManyBytes ? 3 * kTileBytes
                                                                        : 2 * kTileBytes;
      ptx::mbarrier_arrive_expect(&full[stage], kBytes);
      ptx::tensor_load(tiles_a + stage * kTileBytes, &map_a, step * 64, first_row, &full[stage]);
      ptx::tensor_load(tiles_b + stage * kTileBytes, &map_b, step * 64, first_column, &full[stage]);
    }
    return;
  }
  if (kFault == WgmmaFault::kOnlyThreeWarps && warp == 3) return;
  float sums[32] = {};
  for (int step = 0; step < steps; ++step) {
    const int stage = step % kStages, parity = step / kStages % 2;
    if (kFault != WgmmaFault::kNoWaitForFull) ptx::mbarrier_wait(&full[stage], parity);
    if (kFault != WgmmaFault::kNoFence) ptx::wgmma_fence(sums);
    for (int k = 0; k < 4; ++k) {
      const auto operand = [&](unsigned char* tiles) {
        return ptx::wgmma_operand(tiles + stage * kTileBytes + k * 32, Swizzle::k128Bytes, 0, 1024);
      };
      ptx::wgmma_bf16<64>(sums, operand(tiles_a), operand(tiles_b), true);
    }
    ptx::wgmma_commit();
    if (kFault == WgmmaFault::kEarlyRelease) ptx::mbarrier_arrive(&empty[stage]);
    if (kFault != WgmmaFault::kNoWaitForProducts) ptx::wgmma_wait<0>(sums);
    if (kFault == WgmmaFault::kReleaseByOneWarp) {
      if (threadIdx.x == 0) ptx::mbarrier_arrive(&empty[stage]);
    } else if (kFault != WgmmaFault::kEarlyRelease) {
      ptx::mbarrier_arrive(&empty[stage]);
    }
  }
  for (int i = 0; i < 32; ++i) {
    const int row = first_row + 16 * warp + lane / 4 + i / 2 % 2 * 8,
              column = first_column + i / 4 * 8 + lane % 4 * 2 + i % 2;
    if (row < rows && column < columns) c[static_cast<int64_t>(row) * columns + column] = sums[i];
  }
}

TensorMap map_of(const BFloat16* address, uint64_t rows, uint64_t columns, uint32_t box_rows = 64) {
  return cuda::encode_tensor_map({const_cast<BFloat16*>(address), cuda::TensorElement::kBFloat16, columns, rows,
                                  columns * 2, 64, box_rows, Swizzle::k128Bytes});
}

template <WgmmaFault kFault>
void run_wgmma(Bench& bench) {
  constexpr int kRows = 100, kColumns = 72, kDepth = 328;
  const BFloat16* const a = bench.upload(matrix(kRows * kDepth, 1));
  const BFloat16* const b = bench.upload(matrix(kColumns * kDepth, 2));
  float* const c = bench.allocate<float>(kRows * kColumns);
  bench.launch(multiply_wgmma<kFault>, dim3(2, 2), dim3(160), 2 * kStages * kTileBytes, map_of(a, kRows, kDepth),
               map_of(b, kColumns, kDepth), c, kRows, kColumns, kDepth);
  bench.expect(is_product(bench.download(c, kRows * kColumns), kRows, kColumns, kDepth), "the product is wrong");
}

CASE("wgmma", run_wgmma<WgmmaFault::kNone>);
CASE("wgmma: wrong parity", run_wgmma<WgmmaFault::kParity>);
CASE("wgmma: fewer bytes announced than come", run_wgmma<WgmmaFault::kTooFewBytes>);
CASE("wgmma: more bytes announced than come", run_wgmma<WgmmaFault::kTooManyBytes>);
CASE("wgmma: no wait for the copies", run_wgmma<WgmmaFault::kNoWaitForFull>);
CASE("wgmma: stage released before the products are finished", run_wgmma<WgmmaFault::kEarlyRelease>);
CASE("wgmma: no wait for the products", run_wgmma<WgmmaFault::kNoWaitForProducts>);
CASE("wgmma: no fence before the first product", run_wgmma<WgmmaFault::kNoFence>);
CASE("wgmma: no fence after the barriers are made", run_wgmma<WgmmaFault::kNoInitFence>);
CASE("wgmma: stage released by one of four warps", run_wgmma<WgmmaFault::kReleaseByOneWarp>);
CASE("wgmma: only three warps multiply", run_wgmma<WgmmaFault::kOnlyThreeWarps>);

}  // namespace

}  // namespace foretoken::simt::tests
