// The noise of draws, as csrc/core/sampling.h defines it, for a run of token ids at a time. A token's noise has the
// same bits in every run that contains the token.
#pragma once

#include "csrc/core/philox.h"
#include "csrc/core/sampling.h"
#include "csrc/cpu/simd.h"

namespace foretoken::cpu::FORETOKEN_ISA {

// Number of tokens in a run.
inline constexpr int kNoiseRun = 2 * kLanes;

// -log(-log(1 - v)) with v = (x + 0.5) / 2^32 and x unsigned
inline Vec gumbel(IVec x) {
  const IVec upper = x < 0;  // v > 1/2
  // The smaller of v and 1 - v: as accurate as a float can be, and never 0.
  const Vec part = (to_float(upper ? ~x : x) + 0.5f) * 0x1p-32f;
  const Vec rest = 1.0f - part;
  const Vec logarithm = log(upper ? part : rest);
  // The logarithm of the rounded 1 - v is wrong by a known factor (Kahan's log1p).
  const Vec below = rest == 1.0f ? part : logarithm * (part / (rest - 1.0f));
  return -log(upper ? -logarithm : below);
}

// The random words of tokens 4g … 4g + 3 for a vector of numbers g, each word in a lane's lower half beside the next word.
struct NoiseWords {
  WideVec first, second;
};

inline NoiseWords noise_words(uint64_t seed, int32_t position, WideVec groups) {
  WideVec c0 = WideVec{} + static_cast<uint32_t>(position), c1 = groups, c2 = WideVec{} + kPurposeToken, c3 = {};
  auto key0 = static_cast<uint32_t>(seed), key1 = static_cast<uint32_t>(seed >> 32);
  // The lower halves of the lanes are Philox's words; nothing reads the upper halves.
  for (int round = 0; round < kPhiloxRounds; ++round) {
    const WideVec product0 = multiply_low(c0, WideVec{} + kPhiloxMultiplier0);
    const WideVec product1 = multiply_low(c2, WideVec{} + kPhiloxMultiplier1);
    c0 = (product1 >> 32) ^ c1 ^ key0;
    c1 = product1;
    c2 = (product0 >> 32) ^ c3 ^ key1;
    c3 = product0;
    key0 += kPhiloxWeyl0;
    key1 += kPhiloxWeyl1;
  }
  return {(c0 & 0xffffffff) | c1 << 32, (c2 & 0xffffffff) | c3 << 32};
}

// Computes the noise of tokens first … first + kNoiseRun - 1; `first` must be a multiple of 4.
inline void gumbel_noise(uint64_t seed, int32_t position, int64_t first, float* noise) {
  constexpr int kCounters = kLanes / 2;
  WideVec groups;
  for (int i = 0; i < kCounters; ++i) groups[i] = static_cast<uint64_t>(first / 4 + i);
  const NoiseWords words = noise_words(seed, position, groups);
  // Puts the two pairs of each group side by side.
  WideVec low, high;
  for (int i = 0; i < kCounters; ++i) {
    low[i] = static_cast<uint64_t>(i / 2 + i % 2 * kCounters);
    high[i] = low[i] + kCounters / 2;
  }
  store(noise, gumbel((IVec)__builtin_shuffle(words.first, words.second, low)));
  store(noise + kLanes, gumbel((IVec)__builtin_shuffle(words.first, words.second, high)));
}

// Computes the noise of tokens ids[0] … ids[count - 1] for 1 ≤ count ≤ kLanes. Writes kLanes numbers.
inline void gumbel_noise_of(uint64_t seed, int32_t position, const int32_t* ids, int64_t count, float* noise) {
  constexpr int kCounters = kLanes / 2;
  IVec bits = {};
  for (int64_t begin = 0; begin < count; begin += kCounters) {
    WideVec tokens;
    for (int i = 0; i < kCounters; ++i) tokens[i] = static_cast<uint32_t>(ids[begin + i < count ? begin + i : 0]);
    const NoiseWords words = noise_words(seed, position, tokens / 4);
    const WideVec pairs = (tokens & 2) != 0 ? words.second : words.first, own = pairs >> (tokens & 1) * 32;
    for (int i = 0; i < kCounters; ++i) bits[static_cast<int>(begin) + i] = static_cast<int32_t>(own[i]);
  }
  store(noise, gumbel(bits));
}

}  // namespace foretoken::cpu::FORETOKEN_ISA
