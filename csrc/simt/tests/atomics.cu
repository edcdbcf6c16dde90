// Atomic operations, and the order that they and fences establish.
#include "csrc/simt/tests/cases.h"

namespace foretoken::simt::tests {

namespace {

constexpr unsigned kThreads = 64;

// --- results ---

__global__ void count(unsigned* words, int* integers, unsigned long long* longs, float* sum) {
  const unsigned thread = blockIdx.x * blockDim.x + threadIdx.x;
  atomicAdd(&words[0], 1u);
  atomicMin(&words[1], thread);
  atomicMax(&words[2], thread);
  atomicOr(&words[3], 1u << thread % 32);
  atomicInc(&words[4], 9u);
  atomicAdd(&integers[0], -2);
  atomicMin(&integers[1], -static_cast<int>(thread));
  atomicAdd(&longs[0], 1ull << 33);
  if (atomicCAS(&words[5], 0u, thread + 1) == 0) atomicExch(&words[6], thread + 1);
  atomicAdd(sum, 0.5f);
}

CASE("atomic operations", [](Bench& bench) {
  unsigned* const words = bench.upload(std::vector<unsigned>{0, 1000, 0, 0, 0, 0, 0});
  int* const integers = bench.zeros<int>(2);
  auto* const longs = bench.zeros<unsigned long long>(1);
  float* const sum = bench.zeros<float>(1);
  bench.launch(count, dim3(3), dim3(kThreads), 0, words, integers, longs, sum);
  const auto w = bench.download(words, 7);
  const auto i = bench.download(integers, 2);
  const bool words_right = w[0] == 192 && w[1] == 0 && w[2] == 191 && w[3] == ~0u && w[4] == 2 && w[5] == w[6] && w[5];
  bench.expect(words_right && i[0] == -384 && i[1] == -191, "an integer is wrong");
  bench.expect(bench.download(longs, 1)[0] == 192ull << 33 && bench.download(sum, 1)[0] == 96, "a sum is wrong");
});

// --- the last block adds up what all blocks wrote ---

enum class Fault { kNone, kNoFirstFence, kNoSecondFence, kBlockFence, kNoBarrier };

template <Fault kFault>
__global__ void last_block(float* parts, unsigned* arrived, float* total) {
  FORETOKEN_SHARED(bool, is_last, );
  parts[blockIdx.x * kThreads + threadIdx.x] = static_cast<float>(threadIdx.x);
  if (kFault != Fault::kNoBarrier) __syncthreads();
  if (threadIdx.x == 0) {
    if (kFault == Fault::kBlockFence) __threadfence_block();
    else if (kFault != Fault::kNoFirstFence) __threadfence();
    is_last = atomicAdd(arrived, 1u) == gridDim.x - 1;
    if (kFault != Fault::kNoSecondFence) __threadfence();
  }
  __syncthreads();
  if (!is_last) return;
  float sum = 0;
  for (unsigned block = 0; block < gridDim.x; ++block) sum += parts[block * kThreads + threadIdx.x];
  total[threadIdx.x] = sum;
}

template <Fault kFault>
void run_last_block(Bench& bench) {
  constexpr unsigned kBlocks = 5;
  float* const total = bench.allocate<float>(kThreads);
  bench.launch(last_block<kFault>, dim3(kBlocks), dim3(kThreads), 0, bench.allocate<float>(kBlocks * kThreads),
               bench.zeros<unsigned>(1), total);
  const auto result = bench.download(total, kThreads);
  for (unsigned i = 0; i < kThreads; ++i) bench.expect(result[i] == static_cast<float>(i * kBlocks), "a sum is wrong");
}

CASE("last block", run_last_block<Fault::kNone>);
CASE("last block: no fence before the atomic operation", run_last_block<Fault::kNoFirstFence>);
CASE("last block: no fence after it", run_last_block<Fault::kNoSecondFence>);
CASE("last block: a fence only for the block", run_last_block<Fault::kBlockFence>);
CASE("last block: no barrier before it", run_last_block<Fault::kNoBarrier>);

// --- a flag: one thread writes and raises it, another waits for it ---

template <bool kFences>
__global__ void flag(float* value, unsigned* raised) {
  if (threadIdx.x == 0) {
    *value = 3;
    if (kFences) __threadfence();
    *static_cast<volatile unsigned*>(raised) = 1;
  } else if (threadIdx.x == 32) {
    while (*static_cast<volatile unsigned*>(raised) == 0) __nanosleep(100);
    if (kFences) __threadfence();
    value[1] = *value;
  }
}

template <bool kFences>
void run_flag(Bench& bench) {
  float* const value = bench.allocate<float>(2);
  bench.launch(flag<kFences>, dim3(1), dim3(kThreads), 0, value, bench.zeros<unsigned>(1));
  bench.expect(bench.download(value, 2)[1] == 3, "the value is wrong");
}

CASE("flag", run_flag<true>);
CASE("flag: no fences", run_flag<false>);

// --- blocks that run at once and wait for each other ---

__global__ void grid_barrier(unsigned* arrived, float* values) {
  if (threadIdx.x == 0) {
    values[blockIdx.x] = 1;
    __threadfence();
    atomicAdd(arrived, 1u);
    while (atomicAdd(arrived, 0u) < gridDim.x) __nanosleep(20);
    __threadfence();
    float sum = 0;
    for (unsigned i = 0; i < gridDim.x; ++i) sum += values[i];
    values[gridDim.x + blockIdx.x] = sum;
  }
}

CASE("blocks that wait for each other", [](Bench& bench) {
  float* const values = bench.allocate<float>(4);
  bench.launch(grid_barrier, dim3(2), dim3(32), 0, bench.zeros<unsigned>(1), values);
  const auto result = bench.download(values, 4);
  bench.expect(result[2] == 2 && result[3] == 2, "a sum is wrong");
});

}  // namespace

}  // namespace foretoken::simt::tests
