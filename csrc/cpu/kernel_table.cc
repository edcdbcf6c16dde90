#include "csrc/cpu/kernel_table.h"

#include "csrc/cpu/kernels.h"

#define FORETOKEN_STRING(x) #x
#define FORETOKEN_STRINGIFY(x) FORETOKEN_STRING(x)

namespace foretoken::cpu::FORETOKEN_ISA {

namespace {

constexpr KernelTable fill_table() {
  KernelTable table{};
  table.isa = FORETOKEN_STRINGIFY(FORETOKEN_ISA);
#define FORETOKEN_ASSIGN(Name) table.Name = run;
  FORETOKEN_STREAM_OPS(FORETOKEN_ASSIGN)
#undef FORETOKEN_ASSIGN
#define FORETOKEN_ASSIGN(Name) table.workspace_##Name = workspace;
  FORETOKEN_WORKSPACE_OPS(FORETOKEN_ASSIGN)
#undef FORETOKEN_ASSIGN
  table.packed_bytes = packed_bytes;
  table.measure_flops = measure_flops;
  table.read_all = read_all;
  return table;
}

}  // namespace

const KernelTable& kernel_table() {
  static constexpr KernelTable table = fill_table();
  return table;
}

}  // namespace foretoken::cpu::FORETOKEN_ISA
