// C[m, n] (+)= A[m, k] * B[k, n] (+ bias): the one matrix multiplication of this backend.
//
// Every element of C is one float32 accumulator that runs over k in order, with the same instruction everywhere: its
// bits depend on its row of A and its column of B alone, not on m, on n, on the number of threads, on how the work is
// split or on whether B was packed beforehand. A sum over a vocabulary is too long for one accumulator: with `pieces`,
// each piece of it has one, and the pieces are added in their order.
#pragma once

#include "csrc/cpu/context.h"
#include "csrc/cpu/simd.h"

namespace foretoken::cpu::FORETOKEN_ISA {

// The tile that the inner loop holds in registers: kTileRows rows of A against one panel of B.
#if defined(__AVX512F__)
inline constexpr int kTileRows = 12, kPanelVectors = 2;
#elif defined(__AVX2__)
inline constexpr int kTileRows = 6, kPanelVectors = 2;
#elif defined(__SSE2__)
inline constexpr int kTileRows = 4, kPanelVectors = 2;
#else
inline constexpr int kTileRows = 4, kPanelVectors = 4;
#endif
inline constexpr int kPanel = kPanelVectors * kLanes;

// How far ahead of its use a panel is asked for. The panels of a decoding step come from the third-level cache or from
// memory, and with several rows to multiply, too few of them are under way without asking. Nearer, memory is late for
// what is multiplied soon: with 2 KB products of 8 rows took a third longer in int8, a tenth in float32.
inline constexpr int64_t kPrefetchBytes = 8192;

// The first row of tile i when `rows` rows are cut into `tiles` tiles of nearly equal height.
inline int64_t tile_begin(int64_t rows, int64_t tiles, int64_t i) { return rows * i / tiles; }

// A matrix of any floating dtype as it lies in memory: element (i, j) at i * row_stride + j * col_stride, in elements,
// one of the strides 1. As B it may also be panels, [n / kPanel][k][kPanel] with zeros after column n, or words
// (gemm_dot.h); the strides are unused then.
struct Operand {
  const void* data;
  DType dtype;
  int64_t row_stride, col_stride;
  Layout layout = Layout::kRowMajor;
};

struct Gemm {
  int64_t m, n, k;
  Operand a;
  Operand b;
  float* c;
  int64_t c_stride;             // from row to row
  const float* bias = nullptr;  // [n], added last
  bool accumulate = false;      // the accumulators start from C instead of from zero; not with B in words
  bool pieces = false;          // each kPiece elements of k have an accumulator of their own; only with B row-major
};

// The rounding errors of a sum of k elements grow with kPiece + k / kPiece, which is least for k near 65,536: the size
// of a vocabulary.
inline constexpr int64_t kPiece = 256;

// `weight` [n, k] as B of x * weight^T, and as B of y * weight.
Operand transposed(const Matrix& weight, int64_t k);
Operand as_is(const Matrix& matrix, int64_t cols);

// Rows row … row + rows - 1 and columns col … col + cols - 1 of C alone; with panels, col is a multiple of kPanel.
Gemm block_of(const Gemm& gemm, int64_t row, int64_t rows, int64_t col, int64_t cols);

// Scratch of one thread for a product of this size or any smaller one, in floats (a multiple of 16); without B for any
// that lies in no words.
int64_t gemm_scratch(int64_t m, int64_t k);
int64_t gemm_scratch(int64_t m, int64_t k, const Operand& b);

// On this thread, for use inside a parallel part.
void multiply_here(const Gemm& gemm, float* scratch);

// On all threads; `scratch` is gemm_scratch() floats a thread.
void multiply(const Context& context, const Gemm& gemm, float* scratch);

// sums[n] += column sums of x [m, n], whose rows are `stride` apart: in row order, on all threads.
void add_column_sums(const Context& context, const float* x, int64_t m, int64_t n, int64_t stride, float* sums);

// Panels of a weight [n, k] as B of x * weight^T, in its own storage type.
int64_t panel_bytes(int64_t n, int64_t k, DType dtype);
void pack_panels(const Context& context, const Matrix& weight, int64_t n, int64_t k, void* out);

}  // namespace foretoken::cpu::FORETOKEN_ISA
