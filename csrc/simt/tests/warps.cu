// Operations of the lanes of a warp together.
#include "csrc/cuda/common/reduce.cuh"
#include "csrc/cuda/ptx/ptx_hopper.cuh"
#include "csrc/simt/tests/cases.h"

namespace foretoken::simt::tests {

namespace {

using cuda::kAllLanes;

// Runs a kernel of one warp that writes a value per lane, and expects the values expected(lane).
template <typename T, typename Expected>
void run_warp(Bench& bench, void (*kernel)(T*), Expected expected) {
  T* const out = bench.allocate<T>(32);
  bench.launch(kernel, dim3(1), dim3(32), 0, out);
  const auto result = bench.download(out, 32);
  for (int lane = 0; lane < 32; ++lane) {
    bench.expect(result[static_cast<size_t>(lane)] == expected(lane), "lane " + std::to_string(lane) + " is wrong");
  }
}

// --- shuffles ---

__global__ void shuffle_index(int* out) {
  out[threadIdx.x] = __shfl_sync(kAllLanes, int(threadIdx.x) * 3, threadIdx.x + 5);
}
__global__ void shuffle_index_8(int* out) { out[threadIdx.x] = __shfl_sync(kAllLanes, int(threadIdx.x), 11, 8); }
__global__ void shuffle_up(float* out) { out[threadIdx.x] = __shfl_up_sync(kAllLanes, float(threadIdx.x), 3); }
__global__ void shuffle_down_16(double* out) {
  out[threadIdx.x] = __shfl_down_sync(kAllLanes, double(threadIdx.x), 4, 16);
}
__global__ void shuffle_xor(unsigned long long* out) {
  out[threadIdx.x] = __shfl_xor_sync(kAllLanes, (1ull << 40) + threadIdx.x, 9);
}

CASE("shuffles", [](Bench& bench) {
  run_warp<int>(bench, shuffle_index, [](int lane) { return (lane + 5) % 32 * 3; });
  run_warp<int>(bench, shuffle_index_8, [](int lane) { return lane / 8 * 8 + 3; });
  run_warp<float>(bench, shuffle_up, [](int lane) { return float(lane < 3 ? lane : lane - 3); });
  run_warp<double>(bench, shuffle_down_16, [](int lane) { return double(lane % 16 < 12 ? lane + 4 : lane); });
  run_warp<unsigned long long>(bench, shuffle_xor,
                               [](int lane) { return (1ull << 40) + static_cast<unsigned>(lane ^ 9); });
});

// Two halves of a warp shuffle independently.
__global__ void two_masks(int* out) {
  const int lane = threadIdx.x;
  if (lane < 16) {
    out[lane] = __shfl_xor_sync(0x0000ffffu, lane, 1);
  } else {
    const int first = __shfl_down_sync(0xffff0000u, lane, 1);
    out[lane] = __shfl_xor_sync(0xffff0000u, first, 2);
  }
}

CASE("masks of parts of a warp", [](Bench& bench) {
  run_warp<int>(bench, two_masks, [](int lane) {
    if (lane < 16) return lane ^ 1;
    return (lane ^ 2) == 31 ? 31 : (lane ^ 2) + 1;
  });
});

// --- votes and reductions ---

__global__ void ballot(unsigned* out) { out[threadIdx.x] = __ballot_sync(kAllLanes, threadIdx.x % 3 == 0); }
__global__ void any_and_all(int* out) {
  out[threadIdx.x] = 4 * (__any_sync(kAllLanes, threadIdx.x == 7) != 0) +
                     2 * (__all_sync(kAllLanes, threadIdx.x < 31) != 0) +
                     (__all_sync(kAllLanes, threadIdx.x < 32) != 0);
}
__global__ void reduce(int* out) {
  const int lane = threadIdx.x;
  out[lane] = __reduce_add_sync(kAllLanes, lane - 20) * 10000 + __reduce_min_sync(kAllLanes, lane - 20) * 100 +
              __reduce_max_sync(kAllLanes, lane - 20);
}
__global__ void reduce_bits(unsigned* out) {
  const unsigned bit = 1u << threadIdx.x;
  out[threadIdx.x] = __reduce_or_sync(kAllLanes, bit & 0xff) + __reduce_xor_sync(kAllLanes, bit & 0xff00) +
                     __reduce_and_sync(kAllLanes, bit | 0x10000);
}

CASE("votes and reductions", [](Bench& bench) {
  run_warp<unsigned>(bench, ballot, [](int) { return 0x49249249u; });
  run_warp<int>(bench, any_and_all, [](int) { return 5; });
  run_warp<int>(bench, reduce, [](int) { return -144 * 10000 - 20 * 100 + 11; });
  run_warp<unsigned>(bench, reduce_bits, [](int) { return 0x1ffffu; });
});

__global__ void elect(int* out) { out[threadIdx.x] = cuda::ptx::elect_one(); }

CASE("elect", [](Bench& bench) {
  int* const out = bench.allocate<int>(32);
  bench.launch(elect, dim3(1), dim3(32), 0, out);
  int elected = 0;
  for (const int one : bench.download(out, 32)) elected += one;
  bench.expect(elected == 1, "the number of elected lanes is not 1");
});

// The last warp of a block may have fewer lanes than the full mask names.
__global__ void partial_warp(unsigned* out) { out[threadIdx.x] = __ballot_sync(kAllLanes, true); }

CASE("a warp of 8 lanes", [](Bench& bench) {
  unsigned* const out = bench.allocate<unsigned>(40);
  bench.launch(partial_warp, dim3(1), dim3(40), 0, out);
  const auto result = bench.download(out, 40);
  bench.expect(result[0] == kAllLanes && result[39] == 0xff, "a ballot is wrong");
});

// --- wrong masks ---

__global__ void not_in_mask(int* out) { out[threadIdx.x] = __shfl_sync(0x0000ffffu, 1, 0); }
__global__ void exited_lanes(int* out) {
  if (threadIdx.x >= 30) return;
  out[threadIdx.x] = __shfl_sync(kAllLanes, 1, 0);
}
__global__ void overlapping_masks(int* out) {
  if (threadIdx.x < 16) out[threadIdx.x] = __shfl_sync(0x0000ffffu, 1, 0);
  else out[threadIdx.x] = __shfl_sync(kAllLanes, 1, 0);
}
__global__ void different_operations(int* out) {
  if (threadIdx.x < 16) out[threadIdx.x] = __shfl_sync(kAllLanes, 1, 0);
  else out[threadIdx.x] = __any_sync(kAllLanes, 1);
}
__global__ void reads_outside_mask(int* out) {
  if (threadIdx.x < 16) out[threadIdx.x] = __shfl_sync(0x0000ffffu, 1, 20);
}
__global__ void lanes_that_are_not(int* out) { out[threadIdx.x] = __shfl_sync(0x0000ffffu, 1, 0); }
__global__ void odd_width(int* out) { out[threadIdx.x] = __shfl_sync(kAllLanes, 1, 0, 12); }

template <void (*kKernel)(int*)>
void run_mask(Bench& bench) {
  bench.launch(kKernel, dim3(1), dim3(32), 0, bench.allocate<int>(32));
}

CASE("masks: without the caller", run_mask<not_in_mask>);
CASE("masks: lanes that have exited", run_mask<exited_lanes>);
CASE("masks: overlapping", run_mask<overlapping_masks>);
CASE("masks: different operations", run_mask<different_operations>);
CASE("masks: a lane outside is read", run_mask<reads_outside_mask>);
CASE("masks: an odd width", run_mask<odd_width>);
CASE("masks: lanes that do not exist",
     [](Bench& bench) { bench.launch(lanes_that_are_not, dim3(1), dim3(8), 0, bench.allocate<int>(8)); });

}  // namespace

}  // namespace foretoken::simt::tests
