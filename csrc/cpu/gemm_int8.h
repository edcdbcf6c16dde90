// C[m, n] = A[m, k] * B[k, n] (+ bias) with B in int8 and A brought to int8 on the way, a scale for every kGroup of k
// in both: int8.h. An element of C is a float32 accumulator that runs over the groups in order, so its bits depend on
// its row of A and its column of B alone, as with any other B.
#pragma once

#include "csrc/cpu/gemm.h"

namespace foretoken::cpu::FORETOKEN_ISA {

// Panels of kLanes columns of B, one after another: [groups][kLanes] scales in bfloat16, from the next cache line on
// [groups][kWords][kLanes][kDepth] integers. Behind column n and behind row k stand zeros.
int64_t int8_panel_bytes(int64_t n, int64_t k);
const void* int8_panel(const void* panels, int64_t k, int64_t col);
void pack_int8_panels(const Context& context, const Matrix& weight, int64_t n, int64_t k, void* out);

// The k numbers of one column.
void unpack_int8_column(const void* panels, int64_t k, int64_t col, float* out);

// Scratch of one thread, as gemm_scratch() counts it.
int64_t int8_scratch(int64_t m, int64_t k);

// As multiply_here(), of float32 rows A that lie side by side.
void multiply_int8_here(const Gemm& gemm, float* scratch);

}  // namespace foretoken::cpu::FORETOKEN_ISA
