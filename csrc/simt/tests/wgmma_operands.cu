// wgmma with operands of every layout and of many widths, from shared memory and from registers.
#include "csrc/cuda/common/numeric.cuh"
#include "csrc/cuda/ptx/ptx_hopper.cuh"
#include "csrc/cuda/ptx/ptx_wgmma.cuh"
#include "csrc/simt/tests/cases.h"

namespace foretoken::simt::tests {

namespace {

using cuda::BFloat16;
using cuda::Swizzle;
using cuda::ptx::Major;
namespace ptx = cuda::ptx;

constexpr int kRows = 64, kDepth = 16;

float element(int row, int k) { return static_cast<float>((row * 13 + k * 7) % 15 - 7); }

// The offset in bytes of element (row, k) of an operand, written from the description in ptx_wgmma.cuh, not from the
// emulator's code.
struct Layout {
  Major major;
  Swizzle swizzle;
  int rows;

  int width() const { return swizzle == Swizzle::kNone ? 16 : 16 << static_cast<int>(swizzle); }  // bytes of a row
  // The distances that the operand's description names. They include some padding, so that a wrong distance is
  // detected.
  uint32_t leading() const {
    if (swizzle == Swizzle::kNone) return major == Major::kK ? rows * 16 + 128 : 128;
    return major == Major::kK ? 0 : static_cast<uint32_t>(width() * 16);
  }
  uint32_t stride() const {
    if (swizzle == Swizzle::kNone) return major == Major::kK ? 128 : 256 + 128;
    return static_cast<uint32_t>(width() * 8);
  }
  uint32_t place(int row, int k) const {
    const int line = major == Major::kK ? row : k, along = major == Major::kK ? k : row;
    if (swizzle == Swizzle::kNone) {
      const uint32_t next_lines = major == Major::kK ? stride() : leading(),
                     next_eight = major == Major::kK ? leading() : stride();
      return line / 8 * next_lines + line % 8 * 16 + along / 8 * next_eight + along % 8 * 2;
    }
    const int per_row = width() / 2;
    const uint32_t start = along / per_row * leading() + line / 8 * stride();
    const int row_of_eight = line % 8, column = along % per_row, pieces = width() / 16;
    const int piece = column / 8 ^ (row_of_eight * pieces / 8 % pieces);
    return start + static_cast<uint32_t>(row_of_eight * width() + piece * 16 + column % 8 * 2);
  }
};

constexpr uint32_t kOperandBytes = 16 * 1024;

template <int kColumns, Major kMajorA, Major kMajorB, bool kFromRegisters>
__global__ void multiply(const uint4* operands, float* out, Swizzle swizzle, uint4 distances) {
  FORETOKEN_DYNAMIC_SHARED(memory);
  const int thread = threadIdx.x, lane = thread % 32, warp = thread / 32;
  for (uint32_t i = thread; i < 2 * kOperandBytes / 16; i += 128) reinterpret_cast<uint4*>(memory)[i] = operands[i];
  ptx::fence_proxy_async();
  __syncthreads();
  float sums[kColumns / 2];
  for (int i = 0; i < kColumns / 2; ++i) sums[i] = 1000;
  const uint64_t b = ptx::wgmma_operand(memory + kOperandBytes, swizzle, distances.z, distances.w);
  ptx::wgmma_fence(sums);
  if constexpr (kFromRegisters) {
    uint32_t a[4];
    for (int i = 0; i < 4; ++i) {
      const int row = 16 * warp + lane / 4 + i % 2 * 8, k = lane % 4 * 2 + i / 2 * 8;
      const auto bits = [](int row, int k) {
        return static_cast<uint32_t>(ptx::bfloat16_of_float(static_cast<float>((row * 13 + k * 7) % 15 - 7)));
      };
      a[i] = bits(row, k) | bits(row, k + 1) << 16;
    }
    ptx::wgmma_bf16<kColumns, kMajorB>(sums, a, b, true);
    ptx::wgmma_bf16<kColumns, kMajorB>(sums, a, b, true);
  } else {
    const uint64_t a = ptx::wgmma_operand(memory, swizzle, distances.x, distances.y);
    ptx::wgmma_bf16<kColumns, kMajorA, kMajorB>(sums, a, b, true);
    ptx::wgmma_bf16<kColumns, kMajorA, kMajorB>(sums, a, b, true);
  }
  ptx::wgmma_commit();
  ptx::wgmma_wait<0>(sums);
  for (int i = 0; i < kColumns / 2; ++i) {
    const int row = 16 * warp + lane / 4 + i / 2 % 2 * 8, column = i / 4 * 8 + lane % 4 * 2 + i % 2;
    out[row * kColumns + column] = sums[i];
  }
}

void fill(std::vector<uint16_t>& memory, uint32_t start, const Layout& layout, int shift) {
  for (int row = 0; row < layout.rows; ++row) {
    for (int k = 0; k < kDepth; ++k) {
      const float x = element(row + shift, k);
      uint32_t bits;
      std::memcpy(&bits, &x, sizeof bits);
      memory[(start + layout.place(row, k)) / 2] = static_cast<uint16_t>(bits >> 16);
    }
  }
}

template <int kColumns, Major kMajorA, Major kMajorB, bool kFromRegisters>
void run_multiply(Bench& bench, Swizzle swizzle) {
  const Layout a{kMajorA, swizzle, kRows}, b{kMajorB, swizzle, kColumns};
  std::vector<uint16_t> operands(kOperandBytes, 0x7fc0);  // NaN in the padding
  fill(operands, 0, a, 0);
  fill(operands, kOperandBytes, b, 5);
  const auto* const memory = reinterpret_cast<const uint4*>(bench.upload(operands));
  float* const out = bench.allocate<float>(kRows * kColumns);
  bench.launch(multiply<kColumns, kMajorA, kMajorB, kFromRegisters>, dim3(1), dim3(128), 2 * kOperandBytes, memory, out,
               swizzle, make_uint4(a.leading(), a.stride(), b.leading(), b.stride()));
  const auto result = bench.download(out, kRows * kColumns);
  for (int row = 0; row < kRows; ++row) {
    for (int column = 0; column < kColumns; ++column) {
      float expected = 1000;
      for (int k = 0; k < kDepth; ++k) expected += 2 * element(row, k) * element(column + 5, k);
      bench.expect(result[static_cast<size_t>(row * kColumns + column)] == expected,
                   std::to_string(kColumns) + " columns, swizzle " + std::to_string(static_cast<int>(swizzle)) +
                       ": row " + std::to_string(row) + ", column " + std::to_string(column) + " is wrong");
    }
  }
}

template <Major kMajorA, Major kMajorB, bool kFromRegisters = false>
void run_layouts(Bench& bench) {
  for (const Swizzle swizzle : {Swizzle::kNone, Swizzle::k32Bytes, Swizzle::k64Bytes, Swizzle::k128Bytes}) {
    run_multiply<64, kMajorA, kMajorB, kFromRegisters>(bench, swizzle);
    run_multiply<128, kMajorA, kMajorB, kFromRegisters>(bench, swizzle);
  }
}

CASE("wgmma operands: rows of k", run_layouts<Major::kK, Major::kK>);
CASE("wgmma operands: b in rows of n", run_layouts<Major::kK, Major::kMN>);
CASE("wgmma operands: both in rows of m and n", run_layouts<Major::kMN, Major::kMN>);
CASE("wgmma operands: a in registers", run_layouts<Major::kK, Major::kK, true>);
CASE("wgmma operands: a in registers, b in rows of n", run_layouts<Major::kK, Major::kMN, true>);
CASE("wgmma operands: 8, 24, 200 and 256 columns", [](Bench& bench) {
  run_multiply<8, Major::kK, Major::kK, false>(bench, Swizzle::k128Bytes);
  run_multiply<24, Major::kK, Major::kK, true>(bench, Swizzle::k32Bytes);
  run_multiply<200, Major::kK, Major::kK, false>(bench, Swizzle::kNone);
  run_multiply<256, Major::kK, Major::kMN, false>(bench, Swizzle::k64Bytes);
});

// --- faults ---

enum class Fault { kNone, kNoProxyFence, kReadsSumsEarly, kDifferentOperands, kOutOfBounds };

template <Fault kFault>
__global__ void one_product(float* out) {
  FORETOKEN_DYNAMIC_SHARED(memory);
  const int thread = threadIdx.x;
  for (int i = thread; i < 4096 / 16; i += 128) reinterpret_cast<uint4*>(memory)[i] = make_uint4(0, 0, 0, 0);
  if (kFault != Fault::kNoProxyFence) ptx::fence_proxy_async();
  __syncthreads();
  float sums[4] = {1, 2, 3, 4};
  const unsigned char* start = memory + 2048;
  if (kFault == Fault::kDifferentOperands && thread / 32 == 2) start = memory;
  if (kFault == Fault::kOutOfBounds) start = memory + 4096 - 128;
  ptx::wgmma_fence(sums);
  ptx::wgmma_bf16<8>(sums, ptx::wgmma_operand(memory, Swizzle::k32Bytes, 0, 256),
                     ptx::wgmma_operand(start, Swizzle::k32Bytes, 0, 256), true);
  ptx::wgmma_commit();
  if (kFault == Fault::kReadsSumsEarly) out[thread] = sums[0];
  ptx::wgmma_wait<0>(sums);
  if (kFault != Fault::kReadsSumsEarly) out[thread] = sums[0];
}

template <Fault kFault>
void run_product(Bench& bench) {
  float* const out = bench.allocate<float>(128);
  bench.launch(one_product<kFault>, dim3(1), dim3(128), 4096, out);
  for (const float value : bench.download(out, 128)) bench.expect(value == 1, "a sum is wrong");
}

CASE("wgmma product", run_product<Fault::kNone>);
CASE("wgmma product: no fence of proxies", run_product<Fault::kNoProxyFence>);
CASE("wgmma product: sums are read too early", run_product<Fault::kReadsSumsEarly>);
CASE("wgmma product: warps name different operands", run_product<Fault::kDifferentOperands>);
CASE("wgmma product: operand out of bounds", run_product<Fault::kOutOfBounds>);

}  // namespace

}  // namespace foretoken::simt::tests
