// Measures what this machine can do: the ceilings that benchmarks compare with.
#include <time.h>

#include "csrc/cpu/kernels.h"
#include "csrc/cpu/linear/dot_bfloat16.h"
#include "csrc/cpu/linear/dot_int8.h"
#include "csrc/cpu/simd.h"

namespace foretoken::cpu::FORETOKEN_ISA {
namespace {

double now() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

// Chains of multiply-adds in registers, enough to hide the latency of an instruction.
constexpr int kChains = 12;
constexpr int64_t kSteps = 100000;

template <typename Sum, typename Step>
[[gnu::noinline]] void run_chains(Sum (&chains)[kChains], Step step) {
  Sum sums[kChains];
  for (int i = 0; i < kChains; ++i) sums[i] = chains[i];
  for (int64_t n = 0; n < kSteps; ++n) {
#pragma GCC unroll 16
    for (int i = 0; i < kChains; ++i) sums[i] = step(sums[i]);
  }
  for (int i = 0; i < kChains; ++i) chains[i] = sums[i];
}

// `products` is the number of multiply-adds of one step in each lane.
template <typename Sum, typename Step>
double best_rate(double seconds, int products, Step step) {
  Sum chains[kChains] = {};
  double best = 0;
  const double end = now() + seconds;
  double begin = now();
  do {  // takes the best of many short runs, so that a busy machine does not lower the ceiling
    run_chains(chains, step);
    const double next = now();
    const double rate = 2.0 * kChains * kLanes * products * static_cast<double>(kSteps) / (next - begin);
    if (rate > best) best = rate;
    begin = next;
  } while (begin < end);
  volatile auto used = chains[0][0];
  static_cast<void>(used);
  return best;
}

}  // namespace

// Multiplies with the sum itself, so that the compiler cannot merge steps.
double measure_flops(DType dtype, double seconds) {
  switch (dtype) {
    case DType::kInt8: return best_rate<IVec>(seconds, kDepth, [](IVec sum) { return add_dot(sum, (Spread)sum, 1); });
    case DType::kBFloat16:
#if defined(__AVX512BF16__)
      return best_rate<Vec>(seconds, 2, [](Vec sum) { return DotBFloat16::multiply_pair(sum, as_int(sum), 1); });
#else
      return 0;
#endif
    default: return best_rate<Vec>(seconds, 1, [](Vec sum) { return fma(sum, broadcast(0.5f), broadcast(1.0f)); });
  }
}

float read_all(const float* data, int64_t count) {
  constexpr int kSums = 4;
  Vec sums[kSums] = {};
  int64_t i = 0;
  for (; i + kSums * kLanes <= count; i += kSums * kLanes) {
    for (int j = 0; j < kSums; ++j) sums[j] += load(data + i + j * kLanes);
  }
  float rest = 0;
  for (; i < count; ++i) rest += data[i];
  return sum((sums[0] + sums[1]) + (sums[2] + sums[3])) + rest;
}

}  // namespace foretoken::cpu::FORETOKEN_ISA
