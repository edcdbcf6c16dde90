#include "csrc/cpu/kernel_table.h"

#include "csrc/cpu/kernels.h"

#define FORETOKEN_STRING(x) #x
#define FORETOKEN_STRINGIFY(x) FORETOKEN_STRING(x)

namespace foretoken::cpu::FORETOKEN_ISA {

const KernelTable& kernel_table() {
  static constexpr KernelTable table = {
      .isa = FORETOKEN_STRINGIFY(FORETOKEN_ISA),
#define FORETOKEN_MEMBER(Name) .Name = run,
      FORETOKEN_STREAM_OPS(FORETOKEN_MEMBER)
#undef FORETOKEN_MEMBER
#define FORETOKEN_MEMBER(Name) .workspace_##Name = workspace,
      FORETOKEN_WORKSPACE_OPS(FORETOKEN_MEMBER)
#undef FORETOKEN_MEMBER
      .packed_bytes = packed_bytes,
      .measure_flops = measure_flops,
      .read_all = read_all,
  };
  return table;
}

}  // namespace foretoken::cpu::FORETOKEN_ISA
