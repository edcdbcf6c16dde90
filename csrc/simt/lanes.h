// Lanes of a warp as bits of a mask.
#pragma once

#include <bit>
#include <cstdint>
#include <cstdio>
#include <string>

namespace foretoken::simt {

constexpr uint32_t kLanes = 32;
constexpr uint32_t kAllLanes = 0xffffffffu;
constexpr int kMostWarps = 32;  // of a block

// Calls f(lane) for the lanes of a mask, in ascending order.
template <typename F>
void for_each_lane(uint32_t mask, F&& f) {
  for (; mask; mask &= mask - 1) f(static_cast<uint32_t>(std::countr_zero(mask)));
}

// "0x0000ffff"
inline std::string mask_text(uint32_t mask) {
  char text[16];
  std::snprintf(text, sizeof text, "0x%08x", mask);
  return text;
}

}  // namespace foretoken::simt
