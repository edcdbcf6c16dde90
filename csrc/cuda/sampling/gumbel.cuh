// The noise of draws, as csrc/core/sampling.h defines it. Intrinsics round every operation explicitly, so the compiler
// contracts none: a token's noise has the same bits in every kernel.
#pragma once

#include "csrc/core/philox.h"
#include "csrc/core/sampling.h"
#include "csrc/cuda/common/exp.cuh"
#include "csrc/cuda/common/log.cuh"

namespace foretoken::cuda {

// Tokens that share one block of random words.
constexpr int kNoiseGroup = 4;

// -log(-log(1 - v)) with v = (x + 0.5) / 2^32
FORETOKEN_DEVICE float gumbel(uint32_t x) {
  const bool upper = x >= 0x80000000u;  // v > 1/2
  // The smaller of v and 1 - v: as accurate as a float can be, and not 0 at either end.
  const float part = __fmul_rn(__fadd_rn(static_cast<float>(upper ? ~x : x), 0.5f), 0x1p-32f);
  const float rest = __fsub_rn(1.0f, part);
  const float logarithm = log(upper ? part : rest);
  // The logarithm of a rounded 1 - v is wrong by a known factor (Kahan's log1p).
  const float below = rest == 1.0f ? part : __fmul_rn(logarithm, __fdiv_rn(part, __fsub_rn(rest, 1.0f)));
  return -log(upper ? -logarithm : below);
}

// The random words of the tokens kNoiseGroup * group … kNoiseGroup * group + 3.
FORETOKEN_DEVICE PhiloxWords noise_words(uint64_t seed, int32_t position, int64_t group) {
  return philox({{static_cast<uint32_t>(position), static_cast<uint32_t>(group), kPurposeToken, 0}}, seed);
}

// Word i, without indexing an array, which would force it into memory.
FORETOKEN_DEVICE uint32_t word_of(const PhiloxWords& words, int i) {
  const uint32_t even = i < 2 ? words.words[0] : words.words[2], odd = i < 2 ? words.words[1] : words.words[3];
  return i % 2 == 0 ? even : odd;
}

// The random word of one token.
FORETOKEN_DEVICE uint32_t word_of_token(uint64_t seed, int32_t position, int32_t token) {
  return word_of(noise_words(seed, position, token / kNoiseGroup), token % kNoiseGroup);
}

// The value that a draw compares: the logit over the temperature, plus the noise of its token.
FORETOKEN_DEVICE float noisy(float z_over_temperature, uint32_t word) {
  return __fadd_rn(z_over_temperature, gumbel(word));
}

// cap * tanh(z / cap), or z if cap is 0
FORETOKEN_DEVICE float softcapped(float z, float cap) { return cap == 0 ? z : __fmul_rn(tanh(__fdiv_rn(z, cap)), cap); }

}  // namespace foretoken::cuda
