// Reductions over a warp and over a block, in an order that is always the same.
#pragma once

#include "csrc/cuda/platform.h"

namespace foretoken::cuda {

constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffffu;

struct Sum {
  template <typename T>
  FORETOKEN_DEVICE T operator()(T a, T b) const {
    return a + b;
  }
};

struct Max {
  template <typename T>
  FORETOKEN_DEVICE T operator()(T a, T b) const {
    return a > b ? a : b;
  }
};

// combine over all lanes, in every lane. The tree is the same for every lane, so all get the same bits.
template <typename T, typename Combine>
FORETOKEN_DEVICE T reduce_warp(T value, Combine combine) {
#pragma unroll
  for (int distance = kWarp / 2; distance > 0; distance /= 2) {
    value = combine(value, __shfl_xor_sync(kAllLanes, value, distance));
  }
  return value;
}

// combine over all threads of a block of kThreads, in every thread; `shared` holds one value a warp and may be used
// again after the call. `neutral` is what changes nothing.
template <int kThreads, typename T, typename Combine>
FORETOKEN_DEVICE T reduce_block(T value, Combine combine, T neutral, T* shared) {
  static_assert(kThreads % kWarp == 0 && kThreads <= 1024);
  constexpr int kWarps = kThreads / kWarp;
  value = reduce_warp(value, combine);
  if constexpr (kWarps > 1) {
    const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
    if (lane == 0) shared[warp] = value;
    __syncthreads();
    value = reduce_warp(lane < kWarps ? shared[lane] : neutral, combine);
    __syncthreads();
  }
  return value;
}

// Whether this block is the last of the grid to come here, in every thread; what the others wrote before can be seen in
// it. All blocks must come. `arrivals` is 0 before the kernel, and after it again.
FORETOKEN_DEVICE bool is_last_block(unsigned* arrivals) {
  FORETOKEN_SHARED(bool, is_last, );
  __syncthreads();
  if (threadIdx.x == 0) {
    const unsigned last = gridDim.x * gridDim.y - 1;
    __threadfence();
    is_last = atomicInc(arrivals, last) == last;
    __threadfence();
  }
  __syncthreads();
  return is_last;
}

}  // namespace foretoken::cuda
