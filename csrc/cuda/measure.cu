// Measures the ceilings of this GPU, with which benchmarks compare. The work grows with the number of multiprocessors,
// so that it takes long enough on a GPU and not too long on the emulator, which has few.
#include <algorithm>

#include "csrc/cuda/common/numeric.cuh"
#include "csrc/cuda/common/reduce.cuh"
#include "csrc/cuda/kernels.h"
#include "csrc/cuda/linear/gemm_hopper_tiles.cuh"

namespace foretoken::cuda {
namespace {

// The stream's clock is read before the first piece of work and after each one. There are three kinds of work, one
// after the other.
constexpr int kRepeats = (Measurement::kTimes - 1) / 3;
constexpr int kThreads = 256;
// No kernel here computes this value. Comparing results with it keeps the compiler from removing the work.
constexpr int kNever = 0x7ff01234;

// Chains of multiply-adds in registers, as many as hide the latency.
constexpr int kChains = 8;
constexpr int kMultiplyAddBlocks = 4;  // blocks a multiprocessor
int64_t multiply_add_steps(const Context& context) { return int64_t{128} * context.multiprocessors; }

__global__ void __launch_bounds__(kThreads) multiply_add_kernel(int64_t steps, float factor, float term, int* used) {
  float chains[kChains];
  for (int i = 0; i < kChains; ++i) chains[i] = static_cast<float>(threadIdx.x + i);
  for (int64_t step = 0; step < steps; ++step) {
#pragma unroll
    for (int i = 0; i < kChains; ++i) chains[i] = fmaf(chains[i], factor, term);
  }
  float sum = 0;
  for (int i = 0; i < kChains; ++i) sum += chains[i];
  if (__float_as_int(sum) == kNever) *used = kNever;
}

// Products on the tensor cores: each warp has as many independent ones as hide the latency.
constexpr int kProducts = 16;
constexpr int kProductWarps = 4;
constexpr double kFlopsOfProduct = 2.0 * 16 * 8 * 16;
int64_t product_steps(const Context& context) { return int64_t{32} * context.multiprocessors; }

__global__ void __launch_bounds__(kProductWarps* kWarp) product_kernel(int64_t steps, int* used) {
  constexpr uint32_t kOnes = 0x3f803f80;
  const uint32_t a[4] = {kOnes, kOnes, kOnes, kOnes}, b[2] = {kOnes, kOnes};
  float products[kProducts][4] = {};
  for (int64_t step = 0; step < steps; ++step) {
#pragma unroll
    for (int i = 0; i < kProducts; ++i) ptx::mma_m16n8k16_bf16(products[i], a, b);
  }
  float sum = 0;
  for (int i = 0; i < kProducts; ++i) sum += products[i][0] + products[i][1] + products[i][2] + products[i][3];
  if (__float_as_int(sum) == kNever) *used = kNever;
}

// The same with wgmma: two warpgroups, with operands in shared memory. The operands look random: products of ones draw
// less power than products of real matrices, and clocks depend on power.
using FactorA = HopperTile<Major::kInner, 64>;
using FactorB = HopperTile<Major::kInner, 256>;
constexpr int kWarpgroups = 2, kWarpgroupThreads = kWarpgroups * 4 * kWarp;
constexpr double kFlopsOfStep = 2.0 * 64 * 256 * FactorA::kDepth;  // of a warpgroup
int64_t warpgroup_steps(const Context& context) { return int64_t{4} * context.multiprocessors; }

struct Factors {
  BFloat16 a[FactorA::kElements], b[FactorB::kElements];
};

__global__ void __launch_bounds__(kWarpgroupThreads, 1) warpgroup_product_kernel(int64_t steps, int* used) {
#if FORETOKEN_WGMMA
  FORETOKEN_DYNAMIC_SHARED(memory);
  auto& factors = *reinterpret_cast<Factors*>(memory);
  auto* const elements = reinterpret_cast<BFloat16*>(memory);
  for (uint32_t i = threadIdx.x; i < sizeof factors / sizeof(BFloat16); i += kWarpgroupThreads) {
    const uint32_t bits = i * 2654435761u;
    elements[i] = from_float<BFloat16>(static_cast<float>(static_cast<int>(bits)) * 0x1p-31f);
  }
  ptx::fence_proxy_async();
  __syncthreads();
  float sums[FactorB::kElements / FactorB::kDepth / 2] = {};
  for (int64_t step = 0; step < steps; ++step) {
    ptx::wgmma_fence(sums);
#pragma unroll
    for (int k = 0; k < FactorA::kDepth; k += 16) {
      ptx::wgmma_bf16<256>(sums, FactorA::operand(factors.a, 0, k), FactorB::operand(factors.b, 0, k), true);
    }
    ptx::wgmma_commit();
    ptx::wgmma_wait<1>(sums);
  }
  ptx::wgmma_wait<0>(sums);
  float sum = 0;
  for (const float each : sums) sum += each;
  if (__float_as_int(sum) == kNever) *used = kNever;
#endif
}

bool has_warpgroups(const Context& context) { return context.compute_capability == 90; }

// Much more than the caches hold.
int64_t bytes_to_read(const Context& context, int64_t scratch_bytes) {
  constexpr int64_t kBytesEach = 8 << 20;  // bytes a multiprocessor
  return std::min(scratch_bytes, kBytesEach * context.multiprocessors);
}

__global__ void __launch_bounds__(kThreads) read_kernel(int64_t vectors, const Vector<int, 4>* in, int* used) {
  int bits = 0;
#pragma unroll 4
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < vectors; i += gridDim.x * kThreads) {
    const Vector<int, 4> v = in[i];
    bits ^= v.elements[0] ^ v.elements[1] ^ v.elements[2] ^ v.elements[3];
  }
  if (bits == kNever) *used = kNever;
}

__global__ void time_kernel(uint64_t* time) { *time = ptx::global_timer(); }

dim3 blocks_of(const Context& context, int each) { return dim3(static_cast<unsigned>(each * context.multiprocessors)); }

}  // namespace

void measure(const Context& context, void* scratch, int64_t scratch_bytes, uint64_t* times) {
  const auto take_time = [&] { launch(context, time_kernel, dim3(1), dim3(1), 0, times++); };
  auto* const used = static_cast<int*>(scratch);
  take_time();
  for (int repeat = 0; repeat < kRepeats; ++repeat) {
    launch(context, multiply_add_kernel, blocks_of(context, kMultiplyAddBlocks), dim3(kThreads), 0,
           multiply_add_steps(context), 0.5f, 1.0f, used);
    take_time();
  }
  for (int repeat = 0; repeat < kRepeats; ++repeat) {
    if (has_warpgroups(context)) {
      launch(context, warpgroup_product_kernel, blocks_of(context, 1), dim3(kWarpgroupThreads), sizeof(Factors),
             warpgroup_steps(context), used);
    } else {
      launch(context, product_kernel, blocks_of(context, 1), dim3(kProductWarps * kWarp), 0, product_steps(context),
             used);
    }
    take_time();
  }
  for (int repeat = 0; repeat < kRepeats; ++repeat) {
    const int64_t vectors = bytes_to_read(context, scratch_bytes) / 16;
    launch(context, read_kernel, blocks_of(context, 8), dim3(kThreads), 0, vectors,
           static_cast<const Vector<int, 4>*>(scratch), used);
    take_time();
  }
}

MachineRates rates_of(const Context& context, int64_t scratch_bytes, const uint64_t* times) {
  // The rate of the fastest repeat of a kind of work.
  const auto per_second = [&](int kind, double work) {
    uint64_t fastest = UINT64_MAX;
    for (int i = kind * kRepeats; i < (kind + 1) * kRepeats; ++i) fastest = std::min(fastest, times[i + 1] - times[i]);
    return work / (1e-9 * static_cast<double>(std::max<uint64_t>(fastest, 1)));
  };
  const auto multiprocessors = static_cast<double>(context.multiprocessors);
  const double multiply_adds =
      multiprocessors * kMultiplyAddBlocks * kThreads * kChains * static_cast<double>(multiply_add_steps(context));
  const double products =
      multiprocessors *
      (has_warpgroups(context)
           ? kFlopsOfStep * kWarpgroups * static_cast<double>(warpgroup_steps(context))
           : kFlopsOfProduct * kProductWarps * kProducts * static_cast<double>(product_steps(context)));
  return {.flops_per_second = per_second(0, 2 * multiply_adds),
          .matmul_flops_per_second = per_second(1, products),
          .int8_flops_per_second = 0,
          .read_bytes_per_second = per_second(2, static_cast<double>(bytes_to_read(context, scratch_bytes)))};
}

}  // namespace foretoken::cuda
