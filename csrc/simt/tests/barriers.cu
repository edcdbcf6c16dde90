// Barriers of blocks and warps, and the races if one is missing.
#include "csrc/cuda/common/reduce.cuh"
#include "csrc/cuda/ptx/ptx.cuh"
#include "csrc/simt/tests/cases.h"

namespace foretoken::simt::tests {

namespace {

namespace ptx = cuda::ptx;

enum class Fault { kNone, kFirst, kSecond };

// --- __syncthreads: each thread reads what another wrote, and then overwrites it ---

template <Fault kFault>
__global__ void reverse(float* out) {
  FORETOKEN_SHARED(float, values, [256]);
  const int thread = threadIdx.x;
  values[thread] = static_cast<float>(thread);
  if (kFault != Fault::kFirst) __syncthreads();
  const float other = values[255 - thread];
  if (kFault != Fault::kSecond) __syncthreads();
  values[thread] = other;
  out[thread] = values[thread];
}

template <Fault kFault>
void run_reverse(Bench& bench) {
  float* const out = bench.allocate<float>(256);
  bench.launch(reverse<kFault>, dim3(1), dim3(256), 0, out);
  const auto result = bench.download(out, 256);
  for (int i = 0; i < 256; ++i) bench.expect(result[i] == 255 - i, "a value is wrong");
}

CASE("syncthreads", run_reverse<Fault::kNone>);
CASE("syncthreads: none before a read", run_reverse<Fault::kFirst>);
CASE("syncthreads: none before a write", run_reverse<Fault::kSecond>);

// --- divergence ---

template <Fault kFault>
__global__ void diverge(float* out) {
  const int thread = threadIdx.x;
  if (kFault == Fault::kFirst && thread >= 100) {
    __syncthreads();
    out[thread] = 1;
    return;
  }
  out[thread] = 2;
  if (kFault == Fault::kSecond && thread >= 100) return;  // allowed: barriers do not wait for threads that have exited
  __syncthreads();
}

template <Fault kFault>
void run_diverge(Bench& bench) {
  bench.launch(diverge<kFault>, dim3(2), dim3(128), 0, bench.allocate<float>(128));
}

CASE("syncthreads: divergent",
     [](Bench& bench) { bench.launch(diverge<Fault::kFirst>, dim3(1), dim3(128), 0, bench.allocate<float>(128)); });
CASE("syncthreads without threads that have exited",
     [](Bench& bench) { bench.launch(diverge<Fault::kSecond>, dim3(1), dim3(128), 0, bench.allocate<float>(128)); });

__global__ void some_wait(float* out) {
  if (threadIdx.x < 100) __syncthreads();
  else out[0] = __shfl_sync(cuda::kAllLanes, 1.0f, 0);
}

CASE("deadlock", [](Bench& bench) { bench.launch(some_wait, dim3(1), dim3(128), 0, bench.allocate<float>(1)); });

// --- __syncwarp ---

template <Fault kFault>
__global__ void swap_in_warp(float* out) {
  FORETOKEN_SHARED(float, values, [64]);
  const int thread = threadIdx.x;
  values[thread] = static_cast<float>(thread);
  if (kFault != Fault::kFirst) __syncwarp();
  // __syncwarp does not order different warps.
  out[thread] = values[kFault == Fault::kSecond ? 63 - thread : thread ^ 1];
}

template <Fault kFault>
void run_swap(Bench& bench) {
  float* const out = bench.allocate<float>(64);
  bench.launch(swap_in_warp<kFault>, dim3(1), dim3(64), 0, out);
  const auto result = bench.download(out, 64);
  for (int i = 0; i < 64; ++i) bench.expect(result[i] == (i ^ 1), "a value is wrong");
}

CASE("syncwarp", run_swap<Fault::kNone>);
CASE("syncwarp: missing", run_swap<Fault::kFirst>);
CASE("syncwarp: across warps", run_swap<Fault::kSecond>);

// A shuffle synchronises lanes, but orders none of their accesses to memory.
__global__ void shuffle_is_no_barrier(float* out) {
  FORETOKEN_SHARED(float, values, [32]);
  values[threadIdx.x] = static_cast<float>(threadIdx.x);
  const int one = __shfl_sync(cuda::kAllLanes, 1, 0);
  out[threadIdx.x] = values[threadIdx.x ^ one];
}

CASE("syncwarp: a shuffle instead",
     [](Bench& bench) { bench.launch(shuffle_is_no_barrier, dim3(1), dim3(32), 0, bench.allocate<float>(32)); });

// --- named barriers: warps 0 and 1 fill, warps 2 and 3 empty, two values ahead ---

template <Fault kFault>
__global__ void hand_over(float* out) {
  FORETOKEN_SHARED(float, values, [2][64]);
  const int thread = threadIdx.x % 64;
  constexpr int kFull = 1, kEmpty = 3, kRounds = 6;
  for (int round = 0; round < kRounds; ++round) {
    const int stage = round % 2;
    if (threadIdx.x < 64) {
      if (round >= 2 && kFault != Fault::kSecond) ptx::bar_sync(kEmpty + stage, 128);
      values[stage][thread] = static_cast<float>(round * 100 + thread);
      ptx::bar_arrive(kFull + stage, 128);
    } else {
      if (kFault == Fault::kFirst) ptx::bar_arrive(kFull + stage, 128);
      else ptx::bar_sync(kFull + stage, 128);
      out[round * 64 + thread] = values[stage][63 - thread];
      if (round + 2 < kRounds && kFault != Fault::kSecond) ptx::bar_arrive(kEmpty + stage, 128);
    }
  }
}

template <Fault kFault>
void run_hand_over(Bench& bench) {
  float* const out = bench.allocate<float>(6 * 64);
  bench.launch(hand_over<kFault>, dim3(1), dim3(128), 0, out);
  const auto result = bench.download(out, 6 * 64);
  for (int i = 0; i < 6 * 64; ++i) bench.expect(result[i] == i / 64 * 100 + 63 - i % 64, "a value is wrong");
}

CASE("named barriers", run_hand_over<Fault::kNone>);
CASE("named barriers: the reader does not wait", run_hand_over<Fault::kFirst>);
CASE("named barriers: the writer does not wait", run_hand_over<Fault::kSecond>);

__global__ void too_few(int threads) {
  if (threadIdx.x < 32) ptx::bar_arrive(1, threads);
}

CASE("named barriers: too few threads", [](Bench& bench) { bench.launch(too_few, dim3(1), dim3(64), 0, 64); });
CASE("named barriers: no multiple of a warp", [](Bench& bench) { bench.launch(too_few, dim3(1), dim3(64), 0, 40); });

__global__ void two_counts() { ptx::bar_sync(1, threadIdx.x < 32 ? 64 : 96); }

CASE("named barriers: two counts", [](Bench& bench) { bench.launch(two_counts, dim3(1), dim3(64), 0); });

// --- many barriers and reductions, as in real kernels ---

__global__ void __launch_bounds__(256) sum_rows(const float* x, float* sums, int columns) {
  FORETOKEN_SHARED(float, shared, [8]);
  float sum = 0;
  for (int i = threadIdx.x; i < columns; i += 256) sum += x[static_cast<int64_t>(blockIdx.x) * columns + i];
  sum = cuda::reduce_block<256>(sum, cuda::Sum{}, 0.0f, shared);
  const float largest = cuda::reduce_block<256>(static_cast<float>(threadIdx.x), cuda::Max{}, 0.0f, shared);
  if (threadIdx.x == 0) sums[blockIdx.x] = sum + largest;
}

CASE("reductions of a block", [](Bench& bench) {
  constexpr int kRows = 7, kColumns = 1000;
  std::vector<float> x(kRows * kColumns);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 17);
  float* const sums = bench.allocate<float>(kRows);
  bench.launch(sum_rows, dim3(kRows), dim3(256), 0, bench.upload(x), sums, kColumns);
  const auto result = bench.download(sums, kRows);
  for (int row = 0; row < kRows; ++row) {
    float expected = 255;
    for (int i = 0; i < kColumns; ++i) expected += x[static_cast<size_t>(row * kColumns + i)];
    bench.expect(result[row] == expected, "a sum is wrong");
  }
});

}  // namespace

}  // namespace foretoken::simt::tests
