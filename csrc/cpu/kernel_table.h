// Pointers to the kernels of one instruction-set level, so that the backend can choose a level at run time.
#pragma once

#include "csrc/core/backend.h"
#include "csrc/cpu/context.h"

namespace foretoken::cpu {

struct KernelTable {
  const char* isa;
#define FORETOKEN_MEMBER(Name) void (*Name)(const Name##Args&, const Context&);
  FORETOKEN_STREAM_OPS(FORETOKEN_MEMBER)
#undef FORETOKEN_MEMBER
#define FORETOKEN_MEMBER(Name) int64_t (*workspace_##Name)(const Name##Args&, const Context&);
  FORETOKEN_WORKSPACE_OPS(FORETOKEN_MEMBER)
#undef FORETOKEN_MEMBER
  int64_t (*packed_bytes)(int64_t n, int64_t k, DType dtype, Layout layout);
  double (*measure_flops)(DType dtype, double seconds);
  float (*read_all)(const float* data, int64_t count);
};

}  // namespace foretoken::cpu
