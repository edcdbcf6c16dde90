// Declares the kernels of one instruction-set level: `run(args, context)`, overloaded for every operation. Only sources
// that are compiled once per level, with FORETOKEN_ISA set to the level's name, include this header.
#pragma once

#include "csrc/core/backend.h"
#include "csrc/cpu/context.h"
#include "csrc/cpu/kernel_table.h"

namespace foretoken::cpu::FORETOKEN_ISA {

#define FORETOKEN_DECLARE(Name) void run(const Name##Args& args, const Context& context);
FORETOKEN_STREAM_OPS(FORETOKEN_DECLARE)
#undef FORETOKEN_DECLARE

#define FORETOKEN_DECLARE(Name) int64_t workspace(const Name##Args& args, const Context& context);
FORETOKEN_WORKSPACE_OPS(FORETOKEN_DECLARE)
#undef FORETOKEN_DECLARE

// Returns the size in bytes of a weight [n, k] after PackWeight.
int64_t packed_bytes(int64_t n, int64_t k, DType dtype, Layout layout);

// Measures the FLOP/s of one thread in registers; a multiply-add counts as two.
double measure_flops(DType dtype, double seconds);

// Reads the range once. The result depends on every element, so that no read is optimized away.
float read_all(const float* data, int64_t count);

const KernelTable& kernel_table();

}  // namespace foretoken::cpu::FORETOKEN_ISA
