// Accesses that are out of bounds or misaligned, reads of unwritten memory, and races on device memory.
#include "csrc/cuda/common/numeric.cuh"
#include "csrc/simt/tests/cases.h"

namespace foretoken::simt::tests {

namespace {

constexpr int kThreads = 64;

// Runs a kernel of one block on `count` floats of device memory, all zero.
void run(Bench& bench, void (*kernel)(float*), size_t count = kThreads) {
  bench.launch(kernel, dim3(1), dim3(kThreads), 0, bench.zeros<float>(count));
}

// --- device memory ---

__global__ void in_bounds(float* x) { x[threadIdx.x] += 1; }
__global__ void past_the_end(float* x) { x[threadIdx.x + 1] = 1; }
__global__ void before_the_start(float* x) { x[static_cast<int>(threadIdx.x) - 1] = 1; }
__global__ void far_past_the_end(float* x) { x[(threadIdx.x + 1) * 4000] = 1; }
__global__ void reads_past_the_end(float* x) {
  if (threadIdx.x == kThreads - 1) x[0] = x[threadIdx.x + 1];
}
__global__ void vector_over_the_end(float* x) {
  if (threadIdx.x == 0) *reinterpret_cast<float4*>(x + kThreads - 4) = *reinterpret_cast<const float4*>(x + kThreads);
}
__global__ void misaligned(float* x) {
  if (threadIdx.x == 0) *reinterpret_cast<float4*>(x + 1) = make_float4(1, 2, 3, 4);
}

CASE("device memory", [](Bench& bench) { run(bench, in_bounds); });
CASE("device memory: past the end", [](Bench& bench) { run(bench, past_the_end); });
CASE("device memory: before the start", [](Bench& bench) { run(bench, before_the_start); });
CASE("device memory: far past the end", [](Bench& bench) { run(bench, far_past_the_end); });
CASE("device memory: read past the end", [](Bench& bench) { run(bench, reads_past_the_end); });
CASE("device memory: vector past the end", [](Bench& bench) { run(bench, vector_over_the_end); });
CASE("device memory: misaligned", [](Bench& bench) { run(bench, misaligned); });
CASE("device memory: null",
     [](Bench& bench) { bench.launch(in_bounds, dim3(1), dim3(kThreads), 0, static_cast<float*>(nullptr)); });

__global__ void recurse(float* x, int depth) {
  volatile float frame[1000];
  frame[depth % 1000] = x[0];
  if (depth > 0) recurse(x, depth - 1);
  if (frame[depth % 1000] != 0) x[1] = frame[depth % 1000];
}

CASE("stack: 40 KB", [](Bench& bench) { bench.launch(recurse, dim3(1), dim3(1), 0, bench.zeros<float>(2), 10); });
CASE("stack: 400 KB", [](Bench& bench) { bench.launch(recurse, dim3(1), dim3(1), 0, bench.zeros<float>(2), 100); });

CASE("device memory: freed", [](Bench& bench) {
  float* const x = bench.zeros<float>(kThreads);
  bench.finish();
  void* freed = nullptr;
  check(cudaMalloc(&freed, kThreads * sizeof(float)), "cudaMalloc");
  check(cudaFree(freed), "cudaFree");
  bench.launch(in_bounds, dim3(1), dim3(kThreads), 0, x);
  bench.launch(in_bounds, dim3(1), dim3(kThreads), 0, static_cast<float*>(freed));
});

CASE("device memory: of the host", [](Bench& bench) {
  static std::vector<float> host(kThreads);
  bench.launch(in_bounds, dim3(1), dim3(kThreads), 0, host.data());
});

CASE("pinned memory", [](Bench& bench) {
  void* pinned = nullptr;
  check(cudaHostAlloc(&pinned, kThreads * sizeof(float), cudaHostAllocMapped), "cudaHostAlloc");
  auto* const x = static_cast<float*>(pinned);
  for (int i = 0; i < kThreads; ++i) x[i] = static_cast<float>(i);
  bench.launch(in_bounds, dim3(1), dim3(kThreads), 0, x);
  bench.finish();
  for (int i = 0; i < kThreads; ++i) bench.expect(x[i] == static_cast<float>(i + 1), "a value is wrong");
  check(cudaFreeHost(pinned), "cudaFreeHost");
});

// --- never written ---

__global__ void adds_to_nothing(float* x) { x[threadIdx.x] += 1; }
__global__ void copies_one_too_many(const uint16_t* x, uint16_t* y) { y[threadIdx.x] = x[threadIdx.x]; }
__global__ void counts_on_nothing(unsigned* x) { atomicAdd(x, 1u); }
__global__ void exchanges_nothing(unsigned* x) { atomicExch(x, threadIdx.x); }

CASE("never written: device memory",
     [](Bench& bench) { bench.launch(adds_to_nothing, dim3(1), dim3(kThreads), 0, bench.allocate<float>(kThreads)); });
CASE("never written: the last element", [](Bench& bench) {
  auto* const x = bench.allocate<uint16_t>(kThreads);
  check(cudaMemsetAsync(x, 0, 2 * kThreads - 2, bench.stream()), "cudaMemsetAsync");
  bench.launch(copies_one_too_many, dim3(1), dim3(kThreads), 0, x, bench.allocate<uint16_t>(kThreads));
});
CASE("never written: atomicAdd",
     [](Bench& bench) { bench.launch(counts_on_nothing, dim3(1), dim3(kThreads), 0, bench.allocate<unsigned>(1)); });
CASE("atomicExch of what was never written",
     [](Bench& bench) { bench.launch(exchanges_nothing, dim3(1), dim3(kThreads), 0, bench.allocate<unsigned>(1)); });
CASE("never written: memory that was used before and freed", [](Bench& bench) {
  for (int i = 0; i < 3; ++i) {
    void* memory = nullptr;
    check(cudaMallocAsync(&memory, kThreads * sizeof(float), bench.stream()), "cudaMallocAsync");
    if (i < 2) check(cudaMemsetAsync(memory, 0, kThreads * sizeof(float), bench.stream()), "cudaMemsetAsync");
    bench.launch(in_bounds, dim3(1), dim3(kThreads), 0, static_cast<float*>(memory));
    check(cudaFreeAsync(memory, bench.stream()), "cudaFreeAsync");
  }
});

// --- shared memory ---

__global__ void shared_past_the_end(float* x) {
  FORETOKEN_SHARED(float, values, [kThreads - 1]);
  values[threadIdx.x] = x[threadIdx.x];
}
__global__ void shared_never_written(float* x) {
  FORETOKEN_SHARED(float, values, [kThreads]);
  if (threadIdx.x < 63) values[threadIdx.x] = 1;
  __syncthreads();
  x[threadIdx.x] = values[threadIdx.x];
}
__global__ void dynamic_past_the_end(float* x) {
  FORETOKEN_DYNAMIC_SHARED(memory);
  reinterpret_cast<float*>(memory)[threadIdx.x] = x[threadIdx.x];
}
template <int kKiB>
__global__ void large_variables(float* x) {
  FORETOKEN_SHARED(float, first, [kKiB * 256]);
  FORETOKEN_SHARED(float, second, [kKiB * 256]);
  first[threadIdx.x] = second[threadIdx.x] = x[threadIdx.x];
}

CASE("shared memory: past the end", [](Bench& bench) { run(bench, shared_past_the_end); });
CASE("shared memory: never written", [](Bench& bench) { run(bench, shared_never_written); });
CASE("shared memory: dynamic, past the end", [](Bench& bench) {
  bench.launch(dynamic_past_the_end, dim3(1), dim3(kThreads), 4 * kThreads - 4, bench.zeros<float>(kThreads));
});
CASE("shared memory: variables of 46 KiB", [](Bench& bench) { run(bench, large_variables<23>); });
CASE("shared memory: variables of 50 KiB", [](Bench& bench) { run(bench, large_variables<25>); });

// --- races on device memory ---

__global__ void threads_write_one(float* x) { x[threadIdx.x / 2] = 1; }
__global__ void threads_write_bytes(float* x) { reinterpret_cast<unsigned char*>(x)[threadIdx.x] = 1; }
__global__ void threads_write_pairs(float* x) { reinterpret_cast<cuda::BFloat16*>(x)[threadIdx.x] = {1}; }
__global__ void pairs_overlap(float* x) {
  reinterpret_cast<cuda::BFloat16*>(x)[threadIdx.x] = {1};
  if (threadIdx.x == 0) reinterpret_cast<float*>(x)[3] = 1;
}
__global__ void blocks_write_one(float* x) {
  if (threadIdx.x == 0) x[0] = 1;
}
__global__ void block_reads_other(float* x) { x[threadIdx.x + kThreads * blockIdx.x] = x[threadIdx.x]; }
__global__ void atomic_and_plain(unsigned* x) {
  if (threadIdx.x % 2) atomicAdd(x, 1u);
  else x[1] = *x;
}

CASE("neighbours write bytes", [](Bench& bench) { run(bench, threads_write_bytes); });
CASE("neighbours write pairs of bytes", [](Bench& bench) { run(bench, threads_write_pairs); });
CASE("race: two threads write", [](Bench& bench) { run(bench, threads_write_one); });
CASE("race: overlapping writes of different sizes", [](Bench& bench) { run(bench, pairs_overlap); });
CASE("race: two blocks write",
     [](Bench& bench) { bench.launch(blocks_write_one, dim3(2), dim3(kThreads), 0, bench.zeros<float>(1)); });
CASE("race: a block reads what another writes", [](Bench& bench) {
  bench.launch(block_reads_other, dim3(2), dim3(kThreads), 0, bench.zeros<float>(2 * kThreads));
});
CASE("race: atomic and plain",
     [](Bench& bench) { bench.launch(atomic_and_plain, dim3(1), dim3(32), 0, bench.zeros<unsigned>(2)); });
CASE("kernels of a stream come one after the other", [](Bench& bench) {
  float* const x = bench.zeros<float>(1);
  for (int i = 0; i < 3; ++i) bench.launch(blocks_write_one, dim3(1), dim3(kThreads), 0, x);
});

}  // namespace

}  // namespace foretoken::simt::tests
