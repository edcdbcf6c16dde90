// Draws from a whole row of logits with all options, as csrc/core/sampling.h defines.
#pragma once

#include "csrc/core/sampling.h"
#include "csrc/cpu/context.h"

namespace foretoken::cpu::FORETOKEN_ISA {

// The text before a draw, as penalties need it.
struct SeenTokens {
  int32_t* counts;  // [vocab]: number of times in the output; -1 for a token in neither prompt nor output

  void clear(int64_t vocab) const {
    for (int64_t v = 0; v < vocab; ++v) counts[v] = -1;
  }
  void add(int32_t token, bool output) const {
    if (counts[token] < 0) counts[token] = 0;
    if (output) ++counts[token];
  }
  // The first `prompt_length` tokens are prompt, the others output.
  void add_all(const int32_t* tokens, int64_t length, int64_t prompt_length) const {
    for (int64_t i = 0; i < length; ++i) add(tokens[i], i >= prompt_length);
  }
};

// Scratch of one thread for draws from rows of `vocab` logits.
struct RowScratch {
  float* logits;   // [vocab]: a copy of the row
  float* weights;  // [vocab]: for top-p
  SeenTokens seen;

  static int64_t bytes(int64_t vocab);
  static RowScratch of_thread(void* memory, int64_t vocab, int thread);
};

// Draws a token from the row in scratch.logits, which it overwrites, or returns kNoToken if no token can be drawn.
// Reads scratch.seen only for penalties.
int32_t draw(const RowScratch& scratch, int64_t vocab, int32_t position, const SamplingOptions& options,
             const LogitBias& bias);

}  // namespace foretoken::cpu::FORETOKEN_ISA
