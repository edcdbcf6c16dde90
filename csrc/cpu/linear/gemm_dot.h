// C[m, n] = A[m, k] * B[k, n] (+ bias) with both operands in the type of B, int8 or bfloat16, to which rows of A are
// brought on the way: dot_int8.h, dot_bfloat16.h. B lies in panels of kLanes columns (Layout::kWords), in words of
// 32 bits, each of numbers that follow one another along k. An element of C is a float32 accumulator that runs over k
// in one order, so its bits depend on its row of A and its column of B alone, as with any other B.
#pragma once

#include "csrc/cpu/linear/gemm.h"

namespace foretoken::cpu::FORETOKEN_ISA {

// Panels of a weight [n, k] as B of x * weight^T, one after another; behind column n and row k stand zeros.
int64_t word_panel_bytes(int64_t n, int64_t k, DType dtype);
void pack_word_panels(const Context& context, const Matrix& weight, int64_t n, int64_t k, DType dtype, void* out);

// The panel that column `col` is in.
const void* word_panel(const void* panels, int64_t k, int64_t col, DType dtype);

// The k numbers of one column, as B holds them.
void unpack_word_column(const Matrix& panels, int64_t k, int64_t col, float* out);

// Scratch of one thread, as gemm_scratch() counts it.
int64_t word_scratch(int64_t m, int64_t k, DType dtype);

// As multiply_here(), of float32 rows A that lie side by side.
void multiply_words_here(const Gemm& gemm, float* scratch);

}  // namespace foretoken::cpu::FORETOKEN_ISA
