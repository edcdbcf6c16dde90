// Unembedding and draw in one, for draws that are a running argmax: logits exist tile by tile, in scratch of each
// thread. The GEMM gives each logit the bits that it has in a whole row, so the draw is that of plain decoding.
#pragma once

#include "csrc/cpu/context.h"
#include "csrc/cpu/linear/gemm.h"
#include "csrc/cpu/sampling/draw.h"

namespace foretoken::cpu::FORETOKEN_ISA {

struct FusedDraw {
  const float* hidden;  // [rows, dim]
  Matrix weight;        // [vocab, dim]
  const float* bias;    // [vocab] or null
  int64_t rows, dim, vocab;
  float softcap, temperature;
  uint64_t seed;

  int64_t workspace_bytes(const Context& context) const;

  // tokens[r] = the draw of row r, for position positions[r], or kNoToken where nothing can be drawn; positions may be
  // null at temperature 0
  void run(const Context& context, void* workspace, const int32_t* positions, int32_t* tokens) const;
};

}  // namespace foretoken::cpu::FORETOKEN_ISA
