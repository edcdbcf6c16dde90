// Clusters: their barrier, accesses to each other's shared memory, and boxes for several blocks.
#include "csrc/cuda/ptx/ptx_hopper.cuh"
#include "csrc/simt/tests/cases.h"

namespace foretoken::simt::tests {

namespace {

namespace ptx = cuda::ptx;
using cuda::TensorMap;

enum class Fault { kNone, kNoFirstBarrier, kNoSecondBarrier, kNotTheNeighbour };

// --- each block reads what the next one of its cluster wrote ---

template <Fault kFault>
__global__ void read_neighbour(float* out) {
  FORETOKEN_SHARED(float, values, [32]);
  const uint32_t rank = ptx::cluster_rank(), blocks = ptx::cluster_blocks();
  values[threadIdx.x] = static_cast<float>(blockIdx.x * 100 + threadIdx.x);
  if (kFault != Fault::kNoFirstBarrier) ptx::cluster_sync();
  const uint32_t other = kFault == Fault::kNotTheNeighbour ? blocks : (rank + 1) % blocks;
  out[blockIdx.x * 32 + threadIdx.x] = ptx::in_block(values, other)[31 - threadIdx.x];
  // No block may exit while another reads its shared memory.
  if (kFault != Fault::kNoSecondBarrier) {
    ptx::cluster_arrive();
    ptx::cluster_wait();
  }
}

template <Fault kFault>
void run_read(Bench& bench) {
  float* const out = bench.allocate<float>(6 * 32);
  bench.launch_cluster(3, read_neighbour<kFault>, dim3(6), dim3(32), out);
  const auto result = bench.download(out, 6 * 32);
  for (int block = 0; block < 6; ++block) {
    for (int thread = 0; thread < 32; ++thread) {
      const int other = block / 3 * 3 + (block + 1) % 3;
      bench.expect(result[static_cast<size_t>(block * 32 + thread)] == static_cast<float>(other * 100 + 31 - thread),
                   "a value is wrong");
    }
  }
}

CASE("clusters", run_read<Fault::kNone>);
CASE("clusters: no barrier before the read", run_read<Fault::kNoFirstBarrier>);
CASE("clusters: a block leaves before it is read", run_read<Fault::kNoSecondBarrier>);
CASE("clusters: a block that does not exist", run_read<Fault::kNotTheNeighbour>);

__global__ void waits_alone() { ptx::cluster_wait(); }
__global__ void arrives_twice() {
  ptx::cluster_arrive();
  ptx::cluster_arrive();
}

CASE("clusters: a wait without an arrival",
     [](Bench& bench) { bench.launch_cluster(2, waits_alone, dim3(2), dim3(32)); });
CASE("clusters: two arrivals", [](Bench& bench) { bench.launch_cluster(2, arrives_twice, dim3(2), dim3(32)); });

CASE("clusters that do not divide the grid are refused", [](Bench& bench) {
  try {
    bench.launch_cluster(4, waits_alone, dim3(6), dim3(32));
    bench.expect(false, "the launch is accepted");
  } catch (const cuda::CudaFailure& failure) {
    bench.expect(failure.code == cudaErrorInvalidConfiguration, "another error");
  }
});

// --- one box for all blocks of the cluster, stage after stage ---

enum class MulticastFault { kNone, kOwnReleaseOnly };

constexpr int kColumns = 32, kRows = 8, kBoxBytes = kColumns * kRows * 4, kSteps = 4;

struct alignas(128) Box {
  float values[kColumns * kRows];
};

template <MulticastFault kFault>
__global__ void multicast(const __grid_constant__ TensorMap map, float* out) {
  FORETOKEN_SHARED(Box, box, );
  FORETOKEN_SHARED(uint64_t, full, );
  FORETOKEN_SHARED(uint64_t, empty, );
  const uint32_t rank = ptx::cluster_rank(), blocks = ptx::cluster_blocks();
  if (threadIdx.x == 0) {
    ptx::mbarrier_init(&full, 1);
    ptx::mbarrier_init(&empty, kFault == MulticastFault::kOwnReleaseOnly ? 1 : blocks);
    ptx::fence_mbarrier_init();
  }
  ptx::cluster_sync();
  for (int step = 0; step < kSteps; ++step) {
    if (threadIdx.x == 0) {
      ptx::mbarrier_arrive_expect(&full, kBoxBytes);
      if (rank == 0) {
        // All blocks have read the previous box.
        ptx::mbarrier_wait_cluster(&empty, step % 2 ^ 1);
        ptx::tensor_load_multicast(&box, &map, 0, step * kRows, &full, static_cast<uint16_t>((1 << blocks) - 1));
      }
    }
    ptx::mbarrier_wait(&full, step % 2);
    float sum = 0;
    for (int i = threadIdx.x; i < kColumns * kRows; i += 32) sum += box.values[i];
    out[(blockIdx.x * kSteps + step) * 32 + threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.x == 0) {
      if (kFault == MulticastFault::kNone || rank == 0) ptx::mbarrier_arrive_at(&empty, 0);
    }
  }
  ptx::cluster_sync();
}

template <MulticastFault kFault>
void run_multicast(Bench& bench) {
  constexpr size_t kCount = kColumns * kRows * kSteps;
  std::vector<float> x(kCount);
  for (size_t i = 0; i < kCount; ++i) x[i] = static_cast<float>(i % 101);
  const TensorMap map = cuda::encode_tensor_map({bench.upload(x), cuda::TensorElement::kFloat32, kColumns,
                                                 kRows * kSteps, kColumns * 4, kColumns, kRows, cuda::Swizzle::kNone});
  float* const out = bench.allocate<float>(4 * kSteps * 32);
  bench.launch_cluster(2, multicast<kFault>, dim3(4), dim3(32), map, out);
  const auto result = bench.download(out, 4 * kSteps * 32);
  for (size_t i = 0; i < result.size(); ++i) {
    float sum = 0;
    for (size_t j = i % 32; j < kColumns * kRows; j += 32) sum += x[i / 32 % kSteps * kColumns * kRows + j];
    bench.expect(result[i] == sum, "a sum is wrong");
  }
}

CASE("multicast", run_multicast<MulticastFault::kNone>);
CASE("multicast: the copy waits only for its own block", run_multicast<MulticastFault::kOwnReleaseOnly>);

}  // namespace

}  // namespace foretoken::simt::tests
