// Shared by the parts of the program ptx_dump: csrc/cuda/conformance/ptx_dump.cu.
#pragma once

#include <functional>
#include <vector>

#include "csrc/cuda/common/numeric.cuh"
#include "csrc/cuda/context.h"
#include "csrc/cuda/ptx/ptx.cuh"

namespace foretoken::cuda::conformance {

constexpr int kMostWords = 64;  // of a thread

struct Dump {
  const char* name;
  int threads, words;
  // Thread i writes its words to out[i * kMostWords]; after the words of all threads there is room for inputs.
  std::function<void(const Context&, uint32_t* out)> launch;
};

// Small integers as bfloat16: their products and sums are exact.
FORETOKEN_DEVICE uint16_t small_integer(int i) { return ptx::bfloat16_of_float(static_cast<float>(i * 7 % 19 - 9)); }

FORETOKEN_DEVICE uint32_t pair_of(int i) {
  return static_cast<uint32_t>(small_integer(2 * i)) | static_cast<uint32_t>(small_integer(2 * i + 1)) << 16;
}

// The dumps of ptx_hopper.cuh and of ptx_wgmma.cuh, for compute capability 9.0.
std::vector<Dump> copy_dumps();
std::vector<Dump> wgmma_dumps();

}  // namespace foretoken::cuda::conformance
