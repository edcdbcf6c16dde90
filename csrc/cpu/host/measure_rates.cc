#include "csrc/cpu/host/measure_rates.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <vector>

namespace foretoken::cpu {

namespace {

using Clock = std::chrono::steady_clock;

// Runs body(thread) on every thread of the pool at the same time: each waits until all have arrived.
template <typename F>
void on_all_threads(ThreadPool& pool, F&& body) {
  struct State {
    F& body;
    int threads;
    std::atomic<int> arrived{0};
  } state{body, pool.threads()};
  pool.run(
      pool.threads(),
      [](void* context, int64_t part, int) {
        State& shared = *static_cast<State*>(context);
        shared.arrived.fetch_add(1);
        while (shared.arrived.load() < shared.threads) spin_pause();
        shared.body(static_cast<int>(part));
      },
      &state);
}

}  // namespace

MachineRates measure_rates(const KernelTable& kernels, ThreadPool& pool) {
  constexpr int kRepeats = 5;
  const int threads = pool.threads();
  MachineRates best{};

  std::vector<double> flops(static_cast<size_t>(threads));
  const auto measure_flops = [&](DType dtype) {
    double most = 0;
    for (int repeat = 0; repeat < kRepeats; ++repeat) {
      on_all_threads(pool,
                     [&](int thread) { flops[static_cast<size_t>(thread)] = kernels.measure_flops(dtype, 0.02); });
      double sum = 0;
      for (const double rate : flops) sum += rate;
      most = std::max(most, sum);
    }
    return most;
  };
  best.flops_per_second = measure_flops(DType::kFloat32);
  best.matmul_flops_per_second = std::max(best.flops_per_second, measure_flops(DType::kBFloat16));
  best.int8_flops_per_second = measure_flops(DType::kInt8);

  // 256 MiB in all: more than the last-level cache of the machines measured so far, and quick to fill.
  const int64_t share = (int64_t{256} << 20) / int64_t{sizeof(float)} / threads;
  std::vector<float> data(static_cast<size_t>(share * threads), 1.0F);
  std::atomic<float> sink{0};
  for (int repeat = 0; repeat < kRepeats; ++repeat) {
    const auto start = Clock::now();
    on_all_threads(pool, [&](int thread) { sink = kernels.read_all(data.data() + thread * share, share); });
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    best.read_bytes_per_second =
        std::max(best.read_bytes_per_second, static_cast<double>(data.size() * sizeof(float)) / seconds);
  }
  return best;
}

}  // namespace foretoken::cpu
