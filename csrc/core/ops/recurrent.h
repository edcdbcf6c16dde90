// Gated delta networks (Yang et al., 2024, arXiv:2412.06464): recurrent layers whose state is a matrix for each head, with
// a short convolution before. Decoding keeps the state of the committed rows; the nodes of a draft tree compute theirs
// from it, and the accepted ones are committed.
#pragma once

#include <cstdint>

#include "csrc/core/ops/attention.h"

namespace foretoken {

// The most rows of a sequence in one operation.
constexpr int64_t kMostRecurrentRows = 256;
// The longest convolution.
constexpr int64_t kMostTaps = 8;

// key_dim and value_dim are multiples of 16.
struct RecurrentShape {
  int64_t key_heads, value_heads;  // value_heads is a multiple of key_heads
  int64_t key_dim, value_dim;
  int64_t taps;  // of the convolution, 2 … kMostTaps

  // A row holds all query heads, all key heads, all value heads.
  constexpr int64_t channels() const { return 2 * key_heads * key_dim + value_heads * value_dim; }
  // The state of a layer: a matrix for each value head, then the last inputs of the convolution.
  constexpr int64_t head_floats() const { return key_dim * value_dim; }
  constexpr int64_t layer_floats() const { return value_heads * head_floats() + (taps - 1) * channels(); }
  constexpr int64_t key_head_of(int64_t value_head) const { return value_head * key_heads / value_heads; }
};

// One layer of the states of all sequences. In a sequence's block, the layer begins with S, [value_heads] matrices
// [key_dim, value_dim] in an order that is private to the backend. After these come the last taps - 1 inputs of the
// convolution, [taps - 1, channels], the oldest first.
struct RecurrentView {
  float* const* blocks;  // [sequences], in device memory; undefined for a sequence without a state
  const int32_t* room;   // [sequences]: kMostRecurrentRows, or 0 for a sequence without a state
  int64_t layer_offset;  // of the layer in every block, in floats
  RecurrentShape shape;
};

// out[r] = silu(sum over j of weight[:, j] * the input taps - 1 - j positions before r). The position before a row is
// its parent's, and the positions before the first rows are in the state. Sums in the order of j. Padding gets zeros.
// `tree` has no lengths: it is null there.
struct ShortConvolutionArgs {
  const void* x;       // [rows, channels]
  const void* weight;  // [channels, taps], float32
  RecurrentView states;
  TreeRows tree;
  void* out;  // as x
  DType dtype;
};

// The inputs of the delta rule. Row r of value head h, with key head k = floor(h * key_heads / value_heads):
//   query, key = the row's heads k, each times 1 / sqrt(sum of its squares + 1e-6); query also / sqrt(key_dim)
//   g = exp(-exp(decay[h]) * softplus(a[r, h] + bias[h])), beta = sigmoid(b[r, h])
struct DeltaRows {
  const void* qkv;            // [rows, channels]
  const void *a, *b;          // [rows, value_heads]
  const float *decay, *bias;  // [value_heads]
  DType dtype;                // of qkv, a and b
};

// With S of the row's parent, or that of the state:
//   delta = beta * (value - g * Sᵀ key);  out = g * Sᵀ query + (query · key) * delta;  S of the row = g * S + key deltaᵀ
// so out is (S of the row)ᵀ query. No operation depends on other rows, so S and out have the bits of plain decoding.
// Writes nothing to the state. Padding gets zeros. `tree` has no lengths: it is null there.
struct GatedDeltaArgs {
  DeltaRows delta;
  RecurrentView states;
  TreeRows tree;
  void* out;  // [rows, value_heads * value_dim]
  Workspace workspace;
};

// Applies the accepted rows to the state: S goes through the updates of GatedDelta, row by row, to the same bits, and the
// last inputs become those at the end of the path.
struct CommitRecurrentArgs {
  const void* x;  // [rows, channels]: the inputs of the convolution, of the type of delta
  DeltaRows delta;
  RecurrentView states;
  const int32_t* row_offsets;  // [sequences + 1]
  const int32_t* path;         // [sequences, path_stride]: rows of the accepted nodes, ascending, root first
  const int32_t* counts;       // [sequences]: accepted nodes; a state with none stays as it is
  int64_t rows, sequences, path_stride;
  Workspace workspace;
};

}  // namespace foretoken
