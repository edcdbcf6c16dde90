// A draw from a whole row of logits with every option, as csrc/core/sampling.h defines it.
#pragma once

#include "csrc/core/sampling.h"
#include "csrc/cpu/context.h"

namespace foretoken::cpu::FORETOKEN_ISA {

// The text before a draw, as penalties see it: for each token of the vocabulary -1 where it has not been seen,
// otherwise how often it stands in the output.
struct SeenTokens {
  int32_t* counts;  // [vocab]

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

// Scratch of one thread for draws from rows of `vocab` logits: a row to work on, weights of its tokens, their counts.
struct RowScratch {
  float* logits;
  float* weights;
  SeenTokens seen;

  static int64_t bytes(int64_t vocab);
  static RowScratch of_thread(void* memory, int64_t vocab, int thread);
};

// One draw, or kNoToken where nothing can be drawn. Overwrites scratch.logits, which hold the row; scratch.seen is only
// read, and only for penalties.
int32_t draw(const RowScratch& scratch, int64_t vocab, int32_t position, const SamplingOptions& options,
             const LogitBias& bias);

}  // namespace foretoken::cpu::FORETOKEN_ISA
