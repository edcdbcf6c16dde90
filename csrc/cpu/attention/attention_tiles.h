// The inner loops of attention, for training and for decoding: dot products with keys, weighted sums of values, and the
// exponentials between them.
//
// The order of every sum is independent of the rows and keys beside it: a dot product has one accumulator that runs
// over the dimensions in order, a weighted sum one that runs over the values in order. So a node of a draft tree has
// the bits of plain decoding.
#pragma once

#include <cstdint>

#include "csrc/cpu/simd.h"
#include "csrc/cpu/sizes.h"

namespace foretoken::cpu::FORETOKEN_ISA {

// Keys are stored in groups, transposed, so that the lanes of a vector run over keys: [keys / kGroup][dim][kGroup].
inline constexpr int64_t kGroup = 16;

inline int64_t groups_of(int64_t keys) { return divide_up(keys, kGroup); }

// Number of queries that share the loads of keys and values.
inline constexpr int64_t kQueryBlock = 16;

// out[g] = keys g * kGroup … (g + 1) * kGroup - 1, transposed, with zeros after the last key. `stride` is the distance
// of keys in floats.
void group_keys(const float* keys, int64_t stride, int64_t count, int64_t dim, float* out);

// out[r, j] = queries[r] · key[j] for the keys of `groups` groups; out_stride is the distance of rows of out.
void dot_keys(const float* queries, int64_t rows, int64_t dim, const float* keys, int64_t groups, float* out,
              int64_t out_stride);

// out[r] += Σ_j weight(r, j) * value[j], with j in ascending order
struct WeightedSum {
  int64_t rows, count, dim;  // j runs over 0 … count - 1
  const float* weights;
  int64_t weight_stride;
  const float* values;  // rows of `dim` floats
  float* out;           // [rows, dim]
};

// weight(r, j) = weights[r * weight_stride + j]; value[j] is row j of values, or row slots[j] if slots is not null.
void add_weighted(const WeightedSum& sum, const int32_t* slots = nullptr);

// weight(r, j) = weights[j * weight_stride + r], the transposed product, for gradients; value[j] is row j of values.
void add_weighted_transposed(const WeightedSum& sum);

// Returns the largest of x[begin … end - 1].
float row_max(const float* x, int64_t begin, int64_t end);

// x[i] = e^(x[i] - shift) for begin ≤ i < end, and 0 for all other i < padded. Returns the sum, whose order depends
// only on begin and end.
float exponentiate(float* x, int64_t begin, int64_t end, int64_t padded, float shift);

// out[i] = factor * in[i]
inline void scale_row(const float* in, float factor, int64_t dim, float* out) {
  for (int64_t i = 0; i < dim; ++i) out[i] = factor * in[i];
}

}  // namespace foretoken::cpu::FORETOKEN_ISA
