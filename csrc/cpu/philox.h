// Random numbers by position: Philox4x32-10 (Salmon et al. 2011, "Parallel Random Numbers: As Easy as 1, 2, 3"), and
// the Gumbel noise made of them. What a token gets depends on (seed, position, token id) alone, never on the order of
// draws.
#pragma once

#include "csrc/cpu/simd.h"

namespace foretoken::cpu::FORETOKEN_ISA {

typedef uint32_t UVec __attribute__((vector_size(kLanes * 4)));
typedef uint64_t WideVec __attribute__((vector_size(kLanes * 8)));

struct PhiloxBlock {
  UVec words[4];
};

inline UVec multiply_high(UVec a, uint32_t b) {
  return __builtin_convertvector((__builtin_convertvector(a, WideVec) * uint64_t{b}) >> 32, UVec);
}

// Ten rounds on the counters (c0, c1, c2, c3) of each lane.
inline PhiloxBlock philox(UVec c0, UVec c1, UVec c2, UVec c3, uint64_t seed) {
  constexpr uint32_t kMultiplier0 = 0xD2511F53, kMultiplier1 = 0xCD9E8D57;
  constexpr uint32_t kWeyl0 = 0x9E3779B9, kWeyl1 = 0xBB67AE85;
  auto key0 = static_cast<uint32_t>(seed), key1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const UVec high0 = multiply_high(c0, kMultiplier0), low0 = c0 * kMultiplier0;
    const UVec high1 = multiply_high(c2, kMultiplier1), low1 = c2 * kMultiplier1;
    c0 = high1 ^ c1 ^ key0;
    c1 = low1;
    c2 = high0 ^ c3 ^ key1;
    c3 = low0;
    key0 += kWeyl0;
    key1 += kWeyl1;
  }
  return {{c0, c1, c2, c3}};
}

inline Vec to_float(UVec x) {
  // In two exact halves, so that there is one rounding.
  return fma(to_float((IVec)(x >> 16)), broadcast(65536.0f), to_float((IVec)(x & 0xffff)));
}

// -log(E) with E = -log(1 - v) and v = (x + 0.5) / 2^32: finite for every x.
inline Vec gumbel(UVec x) {
  const Vec v = fma(to_float(x), broadcast(0x1p-32f), broadcast(0x1p-33f));
  const Vec rest = fma(to_float(~x), broadcast(0x1p-32f), broadcast(0x1p-33f));  // 1 - v, without cancellation
  // For small v the logarithm of a rounded 1 - v is wrong by a known factor (Kahan's log1p).
  const Vec rounded = 1.0f - v;
  const Vec small = rounded == 1.0f ? v : log(rounded) * (v / (rounded - 1.0f));
  const Vec exponential = v < 0.5f ? small : -log(rest);
  return -log(exponential);
}

// Tokens whose noise is made at a time.
inline constexpr int kNoiseBlock = 4 * kLanes;

// What the random numbers are for; a second kind of draw at one position would take another one.
inline constexpr uint32_t kPurposeToken = 0;

// Noise of the tokens first … first + kNoiseBlock - 1; `first` is a multiple of kNoiseBlock.
inline void gumbel_noise(uint64_t seed, int32_t position, int64_t first, float* noise) {
  const UVec group = (UVec)iota() + static_cast<uint32_t>(first / 4);
  const UVec zero = UVec{};
  const PhiloxBlock block = philox(zero + static_cast<uint32_t>(position), group, zero + kPurposeToken, zero, seed);
  float words[4][kLanes];
  for (int word = 0; word < 4; ++word) store(words[word], gumbel(block.words[word]));
  for (int lane = 0; lane < kLanes; ++lane) {
    for (int word = 0; word < 4; ++word) noise[4 * lane + word] = words[word][lane];
  }
}

}  // namespace foretoken::cpu::FORETOKEN_ISA
