// C[m, n] = A[m, k] * B[k, n] (+ bias) with both operands in the type of B, int8 or bfloat16, to which rows of A are
// converted on the way (dot_int8.h, dot_bfloat16.h). B is in panels of kLanes columns (Layout::kDot), which keep a few
// consecutive elements along k together. An element of C has a float32 accumulator that runs over k in one order, so
// its bits depend only on its row of A and its column of B, as with any other B.
#pragma once

#include "csrc/cpu/linear/gemm.h"

namespace foretoken::cpu::FORETOKEN_ISA {

// Panels of a weight [n, k] as B of x * weight^T, one after another, with zeros behind column n and row k.
int64_t dot_panel_bytes(int64_t n, int64_t k, DType dtype);
void pack_dot_panels(const Context& context, const Matrix& weight, int64_t n, int64_t k, DType dtype, void* out);

// Returns the panel of column `col`.
const void* dot_panel(const void* panels, int64_t k, int64_t col, DType dtype);

// out[k] = one column of B, converted to float32
void unpack_dot_column(const Matrix& panels, int64_t k, int64_t col, float* out);

// Returns the scratch of one thread, like gemm_scratch().
int64_t dot_scratch(int64_t m, int64_t k, DType dtype);

// Multiplies like multiply_here(). A must be in float32 with a column stride of 1.
void multiply_dot_here(const Gemm& gemm, float* scratch);

}  // namespace foretoken::cpu::FORETOKEN_ISA
