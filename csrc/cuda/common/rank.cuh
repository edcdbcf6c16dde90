// Entries of a row as integers in the order of their rank: by value, and among equal values the lowest index ranks
// highest. Ranks are unique, so a search finds the same k best entries in whatever order it visits them.
#pragma once

#include "csrc/cuda/platform.h"

namespace foretoken::cuda {

using Rank = unsigned long long;

// Below every entry.
constexpr Rank kNoRank = 0;

// Floats as integers of the same order; -0 equals 0, and NaN equals -inf.
FORETOKEN_DEVICE uint32_t ordered(float x) {
  const uint32_t bits = x == x ? __float_as_uint(x == 0 ? 0.0f : x) : __float_as_uint(-__builtin_inff());
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

FORETOKEN_DEVICE float from_ordered(uint32_t order) {
  return __uint_as_float(order & 0x80000000u ? order & 0x7fffffffu : ~order);
}

FORETOKEN_DEVICE Rank rank_of(float value, int64_t index) {
  return static_cast<Rank>(ordered(value)) << 32 | static_cast<uint32_t>(~index);
}

// The lower bound of the ranks of all entries of this value.
FORETOKEN_DEVICE Rank lowest_rank(float value) { return static_cast<Rank>(ordered(value)) << 32; }

FORETOKEN_DEVICE int32_t index_of(Rank rank) { return static_cast<int32_t>(~static_cast<uint32_t>(rank)); }

FORETOKEN_DEVICE float value_of(Rank rank) { return from_ordered(static_cast<uint32_t>(rank >> 32)); }

// The rank of an entry in a draw; kNoRank for NaN and -inf, which are never drawn. index_of(kNoRank) is kNoToken.
FORETOKEN_DEVICE Rank draw_rank(float value, int64_t index) {
  return value > -__builtin_inff() ? rank_of(value, index) : kNoRank;
}

}  // namespace foretoken::cuda
