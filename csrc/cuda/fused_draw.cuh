// Unembedding and draw in one, for draws that are a running argmax: the best entry of each strip of logits is found
// where the matrix product leaves them, in registers, and no logits are written. The product gives each logit the bits
// that it has in a whole row, so the draw is that of plain decoding.
#pragma once

#include "csrc/core/ops.h"
#include "csrc/cuda/context.h"

namespace foretoken::cuda {

struct FusedDraw {
  const void* hidden;  // [rows, dim]
  DType dtype;         // of hidden
  Matrix weight;       // [vocab, dim]
  const float* bias;   // [vocab] or null
  int64_t rows, dim, vocab;
  float softcap, temperature;
  uint64_t seed;

  int64_t workspace_bytes() const;

  // tokens[r] = the draw of row r, for position positions[r]; positions may be null at temperature 0
  void run(const Context& context, void* workspace, const int32_t* positions, int32_t* tokens) const;
};

}  // namespace foretoken::cuda
