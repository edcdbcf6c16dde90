// The inner loops of attention, for training and for decoding: dot products with keys, weighted sums of values and the
// exponentials between them.
//
// Every number here is summed in an order of its own, which does not depend on how many rows or keys stand beside it:
// a dot product is one accumulator over the dimensions in order, a weighted sum one accumulator over the values in
// order. That is what makes a row of a draft tree equal plain decoding to the bit.
#pragma once

#include <cstdint>

#include "csrc/cpu/simd.h"

namespace foretoken::cpu::FORETOKEN_ISA {

// Keys are stored in groups, transposed, so that the lanes of a vector run over keys: [keys / kGroup][dim][kGroup].
inline constexpr int64_t kGroup = 16;

inline int64_t groups_of(int64_t keys) { return (keys + kGroup - 1) / kGroup; }

// Rows of queries, which share the loading of keys and values.
inline constexpr int64_t kQueryBlock = 16;

// out[g] = key rows g * kGroup …, transposed; zeros after the last. `stride` is from row to row, in floats.
void group_keys(const float* keys, int64_t stride, int64_t count, int64_t dim, float* out);

// out[r, j] = queries[r] · key[j] for the keys of `groups` groups; out_stride is from row to row.
void dot_keys(const float* queries, int64_t rows, int64_t dim, const float* keys, int64_t groups, float* out,
              int64_t out_stride);

// out[r] += Σ_j weight(r, j) * value[j], j rising.
struct WeightedSum {
  int64_t rows, count, dim;
  const float* weights;
  int64_t weight_stride;
  const float* values;  // [?, dim]
  float* out;           // [rows, dim]
};

// weight(r, j) = weights[r * weight_stride + j]; value[j] is row j, or row slots[j] if there are slots.
void add_weighted(const WeightedSum& sum, const int32_t* slots = nullptr);

// weight(r, j) = weights[j * weight_stride + r]: the transposed product, for gradients.
void add_weighted_transposed(const WeightedSum& sum);

// Largest of x[begin … end - 1].
float row_max(const float* x, int64_t begin, int64_t end);

// x[i] = e^(x[i] - shift) for begin ≤ i < end, and 0 for the other i < padded (a multiple of kGroup). Returns the sum,
// whose order depends on begin and end alone.
float exponentiate(float* x, int64_t begin, int64_t end, int64_t padded, float shift);

// out[i] = factor * in[i]
inline void scale_row(const float* in, float factor, int64_t dim, float* out) {
  for (int64_t i = 0; i < dim; ++i) out[i] = factor * in[i];
}

}  // namespace foretoken::cpu::FORETOKEN_ISA
