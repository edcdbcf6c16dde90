// What this machine can do: the ceiling that benchmarks compare with.
#include <time.h>

#include "csrc/cpu/kernels.h"
#include "csrc/cpu/simd.h"

namespace foretoken::cpu::FORETOKEN_ISA {
namespace {

double now() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

// Chains of multiply-adds that stay in registers, enough of them to hide the latency.
constexpr int kChains = 12;
constexpr int64_t kSteps = 100000;

[[gnu::noinline]] void run_chains(Vec (&chains)[kChains]) {
  Vec sums[kChains];
  for (int i = 0; i < kChains; ++i) sums[i] = chains[i];
  const Vec factor = broadcast(0.5f), term = broadcast(1.0f);
  for (int64_t step = 0; step < kSteps; ++step) {
#pragma GCC unroll 16
    for (int i = 0; i < kChains; ++i) sums[i] = fma(sums[i], factor, term);
  }
  for (int i = 0; i < kChains; ++i) chains[i] = sums[i];
}

}  // namespace

double measure_flops(double seconds) {
  Vec chains[kChains] = {};
  double best = 0;
  const double end = now() + seconds;
  double begin = now();
  do {  // the best of many short stretches, so that a busy machine does not lower the ceiling
    run_chains(chains);
    const double next = now();
    const double rate = 2.0 * kChains * kLanes * static_cast<double>(kSteps) / (next - begin);
    if (rate > best) best = rate;
    begin = next;
  } while (begin < end);
  volatile float used = chains[0][0];
  static_cast<void>(used);
  return best;
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
