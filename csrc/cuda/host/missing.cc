// Bring-up only: operations whose kernels are still to come. Deleted when the last one is there.
#include "csrc/cuda/kernels.h"

namespace foretoken::cuda {

#define FORETOKEN_DEFINE(Name)                                                  \
  __attribute__((weak)) void run(const Name##Args&, const Context&) {           \
    throw make_error(ErrorCode::kUnsupported, #Name " has no CUDA kernel yet"); \
  }
FORETOKEN_STREAM_OPS(FORETOKEN_DEFINE)
#undef FORETOKEN_DEFINE
#define FORETOKEN_DEFINE(Name) \
  __attribute__((weak)) int64_t workspace(const Name##Args&, const Context&) { return 0; }
FORETOKEN_WORKSPACE_OPS(FORETOKEN_DEFINE)
#undef FORETOKEN_DEFINE

__attribute__((weak)) void measure(const Context&, void*, int64_t, uint64_t*) {}
__attribute__((weak)) MachineRates rates_of(const Context&, int64_t, const uint64_t*) { return {}; }

}  // namespace foretoken::cuda
