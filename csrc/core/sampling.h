// Defines a draw, for every backend: a function of one row of logits, the options, the text before it, the position of
// the drawn token and the seed; never of other rows, the order of draws or the place of a node in its tree. So plain
// decoding and verification draw the same tokens.
//
// Steps from logits to a token, in this order:
//   1. softcap                z = cap * tanh(z / cap)
//   2. logit bias             z += bias
//   3. repetition penalty     for tokens in prompt or output: positive z is divided by it, other z multiplied
//                             (Keskar et al. 2019, CTRL)
//   4. frequency, presence    for tokens that occur c > 0 times in the output: z -= frequency * c + presence
//   -- temperature 0 draws the largest z here --
//   5. temperature            z /= T
//   6. top-k                  keeps the k largest
//   7. top-p                  keeps the fewest largest whose share of the remaining probability reaches p, and at
//                             least one (Holtzman et al. 2020)
//   8. min-p                  keeps tokens with at least min_p times the largest probability (Nguyen et al. 2024)
//   9. the largest z + g of the kept tokens, with g = gumbel noise of (seed, position, token): a sample of softmax(z)
//
// All ties go to the lowest token id, in 6 and 7 as well. NaN and -inf are never drawn, and +inf beats every finite z.
// From a row of only NaN and -inf no token can be drawn: the operation returns kNoToken and reports nothing_to_draw.
// Verification reports it only at roots, and ends a path before any other such row, because the text may end before
// that row matters; if the text goes on, the row's node is the root of the next step. So the text before the error, and
// the error itself, are those of plain decoding.
//
// Noise: x is word token % 4 of Philox4x32-10 with key = seed and counter = (position, token / 4, purpose, 0);
// v = (x + 0.5) / 2^32, g = -log(-log(1 - v)), finite for every x.
#pragma once

#include <cstdint>

#include "csrc/core/ops.h"

namespace foretoken {

class Error;

// Third word of the counter: the purpose of the random numbers. Another kind of draw at the same position uses another.
constexpr uint32_t kPurposeToken = 0;

// Stands for the token of a row from which no token can be drawn.
constexpr int32_t kNoToken = -1;

// Stands for the position of a draw that was given none.
constexpr int32_t kNoPosition = -1;

// Makes the error of an operation that cannot draw a token for `position` from a row.
Error nothing_to_draw(const char* op, int64_t row, int64_t position);

bool has_penalties(const SamplingOptions& options);

// Whether top-k, top-p or min-p applies: they change no greedy draw.
bool has_filters(const SamplingOptions& options);

// Whether a draw needs all logits of its row at once. Otherwise it is a running argmax.
bool needs_logits(const SamplingOptions& options, const LogitBias& bias);

// Draws that are a running argmax, fused with the unembedding: those of LinearSample, and those of VerifyTree unless
// needs_logits().
struct FusedDraw {
  explicit FusedDraw(const LinearSampleArgs& args);
  explicit FusedDraw(const VerifyTreeArgs& args);

  const void* hidden;  // [rows, dim]
  DType dtype;         // of hidden
  Matrix weight;       // [vocab, dim]
  const float* bias;   // [vocab] or null
  int64_t rows, dim, vocab;
  float softcap, temperature;
  uint64_t seed;
};

}  // namespace foretoken
