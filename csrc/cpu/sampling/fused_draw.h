// Fuses the unembedding with draws that are a running argmax: each thread holds the logits of one tile at a time. The
// GEMM gives each logit the bits that it has in a whole row, so the draw is that of plain decoding.
#pragma once

#include "csrc/core/sampling.h"
#include "csrc/cpu/context.h"
#include "csrc/cpu/linear/gemm.h"
#include "csrc/cpu/sampling/draw.h"

namespace foretoken::cpu::FORETOKEN_ISA {

struct FusedDraw : foretoken::FusedDraw {
  using foretoken::FusedDraw::FusedDraw;

  int64_t workspace_bytes(const Context& context) const;

  // tokens[r] = the draw of row r as draws[r] says, or kNoToken if no token can be drawn
  void run(const Context& context, void* workspace, const RowDraw* draws, int32_t* tokens) const;
};

}  // namespace foretoken::cpu::FORETOKEN_ISA
