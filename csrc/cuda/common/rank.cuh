// Entries of a row as integers that rise as entries rank: by value, and of equal ones the lowest index highest. Ranks
// are unique, so the k best, or the best of all, are the same in whatever order they are looked for.
#pragma once

#include "csrc/cuda/platform.h"

namespace foretoken::cuda {

using Rank = unsigned long long;

// Below every entry.
constexpr Rank kNoRank = 0;

// Floats as integers of the same order; -0 and 0 are one, and NaN ranks with -inf.
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

// Of all entries of this value.
FORETOKEN_DEVICE Rank lowest_rank(float value) { return static_cast<Rank>(ordered(value)) << 32; }

FORETOKEN_DEVICE int32_t index_of(Rank rank) { return static_cast<int32_t>(~static_cast<uint32_t>(rank)); }

FORETOKEN_DEVICE float value_of(Rank rank) { return from_ordered(static_cast<uint32_t>(rank >> 32)); }

// The rank of what can be drawn: NaN and -inf never are. The index of kNoRank is kNoToken.
FORETOKEN_DEVICE Rank draw_rank(float value, int64_t index) {
  return value > -__builtin_inff() ? rank_of(value, index) : kNoRank;
}

}  // namespace foretoken::cuda
