// Interim: weak definitions for kernels that are not written yet.
#include "csrc/cpu/kernels.h"
namespace foretoken::cpu::FORETOKEN_ISA {
#define FORETOKEN_DECLARE(Name)                                               \
  __attribute__((weak)) void run(const Name##Args&, const Context& context) { \
    report_index(context, #Name, "missing", 0, 0, 0);                         \
  }
FORETOKEN_STREAM_OPS(FORETOKEN_DECLARE)
#undef FORETOKEN_DECLARE
#define FORETOKEN_DECLARE(Name) \
  __attribute__((weak)) int64_t workspace(const Name##Args&, const Context&) { return 0; }
FORETOKEN_WORKSPACE_OPS(FORETOKEN_DECLARE)
#undef FORETOKEN_DECLARE
__attribute__((weak)) int64_t packed_bytes(int64_t n, int64_t k, DType dtype) { return n * k * 4; }
__attribute__((weak)) double measure_flops(double) { return 0; }
__attribute__((weak)) float read_all(const float* data, int64_t count) {
  float s = 0;
  for (int64_t i = 0; i < count; ++i) s += data[i];
  return s;
}
}  // namespace foretoken::cpu::FORETOKEN_ISA
