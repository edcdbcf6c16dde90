// What a draw is, for every backend: a function of one row of logits, the options, the text before it, the position of
// the drawn token and the seed; never of other rows, of the order of draws or of where a node stands in a tree. So
// plain decoding and verification draw the same tokens.
//
// From logits to a token, in this order:
//   1. softcap                z = cap * tanh(z / cap)
//   2. logit bias             z += bias
//   3. repetition penalty     of tokens in prompt or output: positive z divided, others multiplied
//                             (Keskar et al. 2019, CTRL)
//   4. frequency, presence    of tokens in the output, seen c times: z -= frequency * c + presence
//   -- with temperature 0 the largest z is drawn --
//   5. temperature            z /= T
//   6. top-k                  keeps the k largest
//   7. top-p                  keeps the fewest largest whose share of the probability of what is left reaches p, and
//                             at least one (Holtzman et al. 2020)
//   8. min-p                  keeps those with at least min_p times the largest probability (Nguyen et al. 2024)
//   9. the largest z + g of what is kept, where g = gumbel noise of (seed, position, token): one sample of softmax(z)
//
// All ties go to the lowest token id, in 6 and 7 as well. NaN and -inf are never drawn, and +inf beats everything
// finite. From a row that holds nothing but NaN and -inf no token is drawn: the operation gives kNoToken and reports
// nothing_to_draw. Verification reports it at roots alone and ends a path before such a row anywhere else, because the
// text may end before it comes there; where it does not, the row's token is the next root. So the text before the
// error, and the error, are those of plain decoding as well.
//
// Noise: x is word token % 4 of Philox4x32-10 with key = seed and counter = (position, token / 4, purpose, 0);
// v = (x + 0.5) / 2^32, g = -log(-log(1 - v)), finite for every x.
#pragma once

#include <cstdint>

#include "csrc/core/ops.h"

namespace foretoken {

class Error;

// Third word of the counter: what random numbers are for. Another kind of draw at a position takes another one.
constexpr uint32_t kPurposeToken = 0;

// Instead of the token of a row from which nothing can be drawn.
constexpr int32_t kNoToken = -1;

// Instead of the position of a draw that was told of none.
constexpr int32_t kNoPosition = -1;

// What an operation reports that can draw no token for `position` from a row.
Error nothing_to_draw(const char* op, int64_t row, int64_t position);

bool has_penalties(const SamplingOptions& options);

// Top-k, top-p or min-p, of a draw that is not greedy.
bool has_filters(const SamplingOptions& options);

// Whether a draw needs all logits of its row at once; otherwise it is a running argmax.
bool needs_logits(const SamplingOptions& options, const LogitBias& bias);

}  // namespace foretoken
