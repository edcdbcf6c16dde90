// Reductions over four lanes, a warp and a block, in an order that is always the same.
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

struct Min {
  template <typename T>
  FORETOKEN_DEVICE T operator()(T a, T b) const {
    return b < a ? b : a;
  }
};

// Combines the values of a quad: lanes 4g … 4g + 3, which share rows in the layout of mma's result. All four lanes get
// the same bits.
template <typename T, typename Combine>
FORETOKEN_DEVICE T reduce_quad(T value, Combine combine) {
  value = combine(value, __shfl_xor_sync(kAllLanes, value, 1));
  return combine(value, __shfl_xor_sync(kAllLanes, value, 2));
}

// True in one lane of each quad.
FORETOKEN_DEVICE bool leads_quad() { return threadIdx.x % 4 == 0; }

// Combines the values of all lanes. The tree is the same for every lane, so all lanes get the same bits.
template <typename T, typename Combine>
FORETOKEN_DEVICE T reduce_warp(T value, Combine combine) {
#pragma unroll
  for (int distance = kWarp / 2; distance > 0; distance /= 2) {
    value = combine(value, __shfl_xor_sync(kAllLanes, value, distance));
  }
  return value;
}

// Combines the values of all threads of a block of kThreads; every thread gets the result. `neutral` is the neutral
// element of `combine`; `shared` has room for one value a warp and may be reused after the call.
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

// Returns true to every thread of the last block of the grid that calls this function; that block sees all that the
// other blocks wrote before their calls. Every block must call it. `arrivals` is 0 before the kernel, and 0 again after
// it.
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
