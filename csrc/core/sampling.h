// Defines a draw, for every backend: a function of one row of logits, the options, the text before it, the position of
// the drawn token and the seed; never of other rows, the order of draws or the place of a node in its tree. So plain
// decoding and verification draw the same tokens.
//
// Steps from logits to a token, in this order:
//   1. softcap                z = cap * tanh(z / cap)
//   2. mask                   z = -inf for tokens that the row must not draw
//   3. logit bias             z += bias
//   4. repetition penalty     for tokens in prompt or output: positive z is divided by it, other z multiplied
//                             (Keskar et al. 2019, CTRL)
//   5. frequency, presence    for tokens that occur c > 0 times in the output: z -= frequency * c + presence
//   -- temperature 0 draws the largest z here --
//   6. temperature            z /= T
//   7. top-k                  keeps the k largest
//   8. top-p                  keeps the fewest largest whose share of the remaining probability reaches p, and at
//                             least one (Holtzman et al. 2020)
//   9. min-p                  keeps tokens with at least min_p times the largest probability (Nguyen et al. 2024)
//  10. the largest z + g of the kept tokens, with g = gumbel noise of (seed, position, token): a sample of softmax(z)
//
// All ties go to the lowest token id, in 7 and 8 as well. NaN and -inf are never drawn, and +inf beats every finite z.
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
#include "csrc/core/philox.h"

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

// The functions below are static, because CPU kernels are compiled for several instruction sets and must not share code.

FORETOKEN_EVERYWHERE static inline bool has_penalties(const SamplingOptions& options) {
  return options.repetition_penalty != 1 || options.frequency_penalty != 0 || options.presence_penalty != 0;
}

// Whether top-k, top-p or min-p applies: they change no greedy draw.
FORETOKEN_EVERYWHERE static inline bool has_filters(const SamplingOptions& options) {
  return options.temperature > 0 && (options.top_k > 0 || options.top_p < 1 || options.min_p > 0);
}

// The ranges of options, apart from those that end at 0 and 1. Within them no logit overflows.
constexpr float kLeastTemperature = 1e-6F, kLargestTemperature = 1e6F;
constexpr float kLeastRepetitionPenalty = 1e-3F, kLargestRepetitionPenalty = 1e3F;
constexpr float kLargestPenalty = 1e4F;  // frequency and presence, of either sign

FORETOKEN_EVERYWHERE static inline float in_range(float x, float lowest, float highest, float otherwise) {
  return x >= lowest && x <= highest ? x : otherwise;  // NaN lies in no range
}

// Reads the options of a sequence. Those that need more than sampling.needs, or lie outside their range, are off.
FORETOKEN_EVERYWHERE static inline SamplingOptions options_of(const SequenceSampling& sampling, int64_t sequence) {
  const SamplingNumbers& given = sampling.numbers[sequence];
  SamplingOptions options;
  options.temperature = in_range(given.temperature, kLeastTemperature, kLargestTemperature, 0);
  options.seed = uint64_t{given.seed_high} << 32 | given.seed_low;
  if (sampling.needs == SamplingNeeds::kNothing) return options;
  options.top_k = given.top_k > 0 ? given.top_k : 0;
  options.top_p = in_range(given.top_p, 0, 1, 1);
  options.min_p = in_range(given.min_p, 0, 1, 0);
  if (sampling.needs == SamplingNeeds::kLogits) return options;
  options.repetition_penalty =
      in_range(given.repetition_penalty, kLeastRepetitionPenalty, kLargestRepetitionPenalty, 1);
  options.frequency_penalty = in_range(given.frequency_penalty, -kLargestPenalty, kLargestPenalty, 0);
  options.presence_penalty = in_range(given.presence_penalty, -kLargestPenalty, kLargestPenalty, 0);
  return options;
}

// Reads the bias of a sequence; none if its count is out of range. Tokens and values may be anything.
FORETOKEN_EVERYWHERE static inline LogitBias bias_of(const SequenceSampling& sampling, int64_t sequence) {
  const int64_t count = sampling.numbers[sequence].bias_count, room = sampling.bias_room;
  if (sampling.needs == SamplingNeeds::kNothing || count <= 0 || count > room) return {nullptr, nullptr, 0};
  return {sampling.bias_tokens + sequence * room, sampling.bias_values + sequence * room, count};
}

// The words of a mask for one row: bit v % 32 of word v / 32 says whether the row may draw token v.
FORETOKEN_EVERYWHERE static inline int64_t mask_words(int64_t vocab) { return (vocab + 31) / 32; }

FORETOKEN_EVERYWHERE static inline bool may_draw(const uint32_t* mask_of_row, int64_t token) {
  return (mask_of_row[token / 32] >> token % 32 & 1) != 0;
}

// How a row draws if the draw is a running argmax.
struct RowDraw {
  float temperature;
  int32_t position;  // of the drawn token; any number at temperature 0
  uint64_t seed;
};

// Draws that are a running argmax, fused with the unembedding: those of LinearSample, and those of VerifyTree if they
// need nothing else.
struct FusedDraw {
  explicit FusedDraw(const LinearSampleArgs& args);
  explicit FusedDraw(const VerifyTreeArgs& args);

  const void* hidden;    // [rows, dim]
  DType dtype;           // of hidden
  Matrix weight;         // [vocab, dim]
  const float* bias;     // [vocab] or null
  const uint32_t* mask;  // [rows, mask_words(vocab)] or null
  int64_t rows, dim, vocab;
  float softcap;
};

// Returns the position of the tokens that a row proposes.
FORETOKEN_EVERYWHERE static inline int32_t position_of(const ProposeTokensArgs& args, int64_t row) {
  return static_cast<int32_t>(args.positions[row / args.depth] + args.ahead + row % args.depth);
}

}  // namespace foretoken
