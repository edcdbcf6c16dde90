// Dumps of tiles that the copy engine loads, and of their products by wgmma: in the layouts that products use, and in
// every width.
#include <string>

#include "csrc/cuda/conformance/ptx_dump.h"
#include "csrc/cuda/linear/gemm_hopper_tiles.cuh"

namespace foretoken::cuda::conformance {
namespace {

constexpr int kSide = 64, kThreads = 4 * kWarp;  // of tiles, and of a warpgroup
constexpr int kMostColumns = 256;

// Element (i, k) of the `number`th matrix, i being its row or column of C.
FORETOKEN_DEVICE BFloat16 element(int number, int i, int k) {
  return {small_integer(number * 5000 + i * 3 + k * 5 + i * k % 11)};
}

__global__ void fill(BFloat16* matrix, int number, Major major) {
  for (int at = threadIdx.x; at < kSide * kSide; at += kThreads) {
    const int row = at / kSide, column = at % kSide;
    matrix[at] = major == Major::kInner ? element(number, row, column) : element(number, column, row);
  }
}

struct Tiles {
  BFloat16 a[kSide * kSide], b[kSide * kSide];
  uint64_t full;
};

FORETOKEN_DEVICE void load_tiles(Tiles& tiles, const TensorMap& map_a, const TensorMap& map_b) {
  if (threadIdx.x == 0) {
    ptx::mbarrier_init(&tiles.full, 1);
    ptx::fence_mbarrier_init();
    ptx::mbarrier_arrive_expect(&tiles.full, sizeof tiles.a + sizeof tiles.b);
    ptx::tensor_load(tiles.a, &map_a, 0, 0, &tiles.full);
    ptx::tensor_load(tiles.b, &map_b, 0, 0, &tiles.full);
  }
  __syncthreads();
  ptx::mbarrier_wait(&tiles.full, 0);
}

template <Major kMajor, bool kFromRegisters>
__global__ void __launch_bounds__(kThreads)
    wgmma(const __grid_constant__ TensorMap map_a, const __grid_constant__ TensorMap map_b, uint32_t* out) {
#if FORETOKEN_WGMMA
  FORETOKEN_DYNAMIC_SHARED(memory);
  auto& tiles = *reinterpret_cast<Tiles*>(memory);
  using Tile = HopperTile<kMajor, kSide>;
  load_tiles(tiles, map_a, map_b);
  const int thread = threadIdx.x, row = thread / kWarp * 16 + thread % kWarp / 4, column = thread % 4 * 2;
  float sums[kSide / 2];
  for (int i = 0; i < kSide / 2; ++i) sums[i] = static_cast<float>(i);
  ptx::wgmma_fence(sums);
  for (int k = 0; k < kSide; k += 16) {
    const uint64_t b = Tile::operand(tiles.b, 0, k);
    if constexpr (kFromRegisters) {
      uint32_t a[4];
      for (int i = 0; i < 4; ++i) {
        const int of_row = row + i % 2 * 8, of_k = k + column + i / 2 * 8;
        a[i] = element(0, of_row, of_k).bits | static_cast<uint32_t>(element(0, of_row, of_k + 1).bits) << 16;
      }
      ptx::wgmma_bf16<kSide, Tile::kMajorOfProduct>(sums, a, b, true);
      ptx::wgmma_commit();
      ptx::wgmma_wait<0>(sums);
      ptx::wgmma_fence(sums);
    } else {
      ptx::wgmma_bf16<kSide, Tile::kMajorOfProduct, Tile::kMajorOfProduct>(sums, Tile::operand(tiles.a, 0, k), b, true);
    }
  }
  ptx::wgmma_commit();
  ptx::wgmma_wait<0>(sums);
  for (int i = 0; i < kSide / 2; ++i) out[thread * kMostWords + i] = __float_as_uint(sums[i]);
#endif
}

// The words of the first tile, as they lie in shared memory.
__global__ void __launch_bounds__(kThreads)
    tensor_load(const __grid_constant__ TensorMap map_a, const __grid_constant__ TensorMap map_b, uint32_t* out) {
  FORETOKEN_DYNAMIC_SHARED(memory);
  auto& tiles = *reinterpret_cast<Tiles*>(memory);
  load_tiles(tiles, map_a, map_b);
  constexpr int kWords = kSide * kSide / 2 / kThreads;
  for (int i = 0; i < kWords; ++i) {
    out[threadIdx.x * kMostWords + i] = reinterpret_cast<const uint32_t*>(tiles.a)[threadIdx.x * kWords + i];
  }
}

// Products of kN columns, with a from shared memory and from registers. Dumps a hash of all sums of a thread.
template <int kN>
FORETOKEN_DEVICE void multiply_width(const BFloat16* a, const BFloat16* b, uint32_t* words) {
  using TileA = HopperTile<Major::kInner, kSide>;
  using TileB = HopperTile<Major::kInner, kMostColumns>;
  const int row = threadIdx.x / kWarp * 16 + threadIdx.x % kWarp / 4, column = threadIdx.x % 4 * 2;
  uint32_t registers[4];
  for (int i = 0; i < 4; ++i) {
    const int of_row = row + i % 2 * 8, of_k = column + i / 2 * 8;
    registers[i] = element(0, of_row, of_k).bits | static_cast<uint32_t>(element(0, of_row, of_k + 1).bits) << 16;
  }
  for (int from_registers = 0; from_registers < 2; ++from_registers) {
    float sums[kN / 2];
    for (int i = 0; i < kN / 2; ++i) sums[i] = static_cast<float>(i);
    ptx::wgmma_fence(sums);
    if (from_registers) ptx::wgmma_bf16<kN>(sums, registers, TileB::operand(b, 0, 0), true);
    else ptx::wgmma_bf16<kN>(sums, TileA::operand(a, 0, 0), TileB::operand(b, 0, 0), true);
    ptx::wgmma_commit();
    ptx::wgmma_wait<0>(sums);
    uint32_t all = 0;
    for (int i = 0; i < kN / 2; ++i) all = all * 31 + __float_as_uint(sums[i]);
    words[from_registers] = all;
  }
}

template <int kN>
__global__ void __launch_bounds__(kThreads) wgmma_width(uint32_t* out) {
#if FORETOKEN_WGMMA
  FORETOKEN_DYNAMIC_SHARED(memory);
  auto* const a = reinterpret_cast<BFloat16*>(memory);
  BFloat16* const b = a + kSide * kSide;
  using TileA = HopperTile<Major::kInner, kSide>;
  using TileB = HopperTile<Major::kInner, kMostColumns>;
  for (int i = threadIdx.x; i < (kSide + kMostColumns) * 16; i += kThreads) {
    const int outer = i / 16, k = i % 16;
    const bool of_b = outer >= kSide;
    BFloat16* const chunk = of_b ? TileB::at(b, outer - kSide, k) : TileA::at(a, outer, k);
    chunk[k % 8] = of_b ? element(1, outer - kSide, k) : element(0, outer, k);
  }
  ptx::fence_proxy_async();
  __syncthreads();
  multiply_width<kN>(a, b, out + threadIdx.x * kMostWords);
#endif
}

template <int kN>
void add_widths(std::vector<Dump>& dumps) {
  constexpr size_t kBytes = (kSide + kMostColumns) * kSide * sizeof(BFloat16);
  static const std::string name = "wgmma_bf16_" + std::to_string(kN);
  dumps.push_back({name.c_str(), kThreads, 2, [](const Context& context, uint32_t* out) {
                     launch(context, wgmma_width<kN>, dim3(1), dim3(kThreads), kBytes, out);
                   }});
  if constexpr (kN < kMostColumns) add_widths<kN + 8>(dumps);
}

using Kernel = void (*)(TensorMap, TensorMap, uint32_t*);

// A dump of two matrices whose tensors end before the tile in both directions.
Dump dump_of_tiles(const char* name, int words, Major major, Kernel kernel) {
  return {name, kThreads, words, [=](const Context& context, uint32_t* out) {
            auto* const a = reinterpret_cast<BFloat16*>(out + kThreads * kMostWords);
            BFloat16* const b = a + kSide * kSide;
            launch(context, fill, dim3(1), dim3(kThreads), 0, a, 0, major);
            launch(context, fill, dim3(1), dim3(kThreads), 0, b, 1, major);
            const auto map = [&](BFloat16* matrix) {
              return encode_tensor_map({.address = matrix,
                                        .element = TensorElement::kBFloat16,
                                        .columns = kSide - 5,
                                        .rows = kSide - 3,
                                        .row_bytes = kSide * sizeof(BFloat16),
                                        .box_columns = kSide,
                                        .box_rows = kSide,
                                        .swizzle = Swizzle::k128Bytes});
            };
            launch(context, kernel, dim3(1), dim3(kThreads), sizeof(Tiles), map(a), map(b), out);
          }};
}

}  // namespace

std::vector<Dump> wgmma_dumps() {
  std::vector<Dump> dumps = {
      dump_of_tiles("tensor_load", 16, Major::kInner, tensor_load),
      dump_of_tiles("wgmma_bf16", 32, Major::kInner, wgmma<Major::kInner, false>),
      dump_of_tiles("wgmma_bf16_transposed", 32, Major::kOuter, wgmma<Major::kOuter, false>),
      dump_of_tiles("wgmma_bf16_registers", 32, Major::kInner, wgmma<Major::kInner, true>),
      dump_of_tiles("wgmma_bf16_registers_transposed", 32, Major::kOuter, wgmma<Major::kOuter, true>)};
  add_widths<8>(dumps);
  return dumps;
}

}  // namespace foretoken::cuda::conformance
