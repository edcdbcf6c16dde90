// C[m, n] (+)= A[m, k] * B[k, n] (+ bias): the one matrix multiplication of this backend.
//
// Every element of C has one float32 accumulator that runs over k in order, with the same instruction everywhere. So
// its bits depend only on its row of A and its column of B, not on m, n, the number of threads, the division of the
// work or whether B was packed beforehand. A sum over a vocabulary is too long for one accumulator: with `pieces`, each
// piece of k has its own, and the pieces are added in order.
#pragma once

#include "csrc/cpu/context.h"
#include "csrc/cpu/simd.h"

namespace foretoken::cpu::FORETOKEN_ISA {

// The tile that the inner loop holds in registers: kTileRows rows of A times one panel of B.
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

// How far ahead the inner loop prefetches a panel. The panels of a decoding step come from the third-level cache or
// from memory, and with several rows to multiply, too few loads are in flight without prefetching. A shorter distance
// is too late: with 2 KB, products of 8 rows took a third longer in int8 and a tenth longer in float32.
inline constexpr int64_t kPrefetchBytes = 8192;

// Returns the first row of tile i when `rows` rows are cut into `tiles` tiles of nearly equal height.
inline int64_t tile_begin(int64_t rows, int64_t tiles, int64_t i) { return rows * i / tiles; }

// A matrix of any floating dtype: element (i, j) is at i * row_stride + j * col_stride, in elements; one stride is 1. B
// may also be packed, in panels [n / kPanel][k][kPanel] with zeros after column n or in a dot format (gemm_dot.h); then
// the strides are unused.
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
  int64_t c_stride;             // distance of rows
  const float* bias = nullptr;  // [n], added last
  bool accumulate = false;      // starts the accumulators from C instead of zero; not with B in a dot format
  bool pieces = false;          // gives each kPiece elements of k an accumulator of their own; only with B row-major
};

// Rounding errors of a sum of k elements grow with kPiece + k / kPiece. This kPiece is best for k near 65,536, the size
// of a vocabulary.
inline constexpr int64_t kPiece = 256;

// `weight` [n, k] as B of x * weight^T, and as B of y * weight.
Operand transposed(const Matrix& weight, int64_t k);
Operand as_is(const Matrix& matrix, int64_t cols);

// Restricts a product to rows row … row + rows - 1 and columns col … col + cols - 1 of C. If B is packed, col must be a
// multiple of kPanel.
Gemm block_of(const Gemm& gemm, int64_t row, int64_t rows, int64_t col, int64_t cols);

// Returns the scratch of one thread for a product of this size or any smaller one, in floats (a multiple of 16).
// Without b, the result holds for any B that is not in a dot format.
int64_t gemm_scratch(int64_t m, int64_t k);
int64_t gemm_scratch(int64_t m, int64_t k, const Operand& b);

// Multiplies on the calling thread, for use inside a parallel part.
void multiply_here(const Gemm& gemm, float* scratch);

// Multiplies on all threads; `scratch` has gemm_scratch() floats per thread.
void multiply(const Context& context, const Gemm& gemm, float* scratch);

// sums[n] += column sums of x [m, n], added in row order, on all threads; `stride` is the distance of rows
void add_column_sums(const Context& context, const float* x, int64_t m, int64_t n, int64_t stride, float* sums);

// Panels of a weight [n, k] as B of x * weight^T, in the weight's own type.
int64_t panel_bytes(int64_t n, int64_t k, DType dtype);
void pack_panels(const Context& context, const Matrix& weight, int64_t n, int64_t k, void* out);

}  // namespace foretoken::cpu::FORETOKEN_ISA
