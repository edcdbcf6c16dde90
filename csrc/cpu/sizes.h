// Arithmetic on sizes.
#pragma once

#include <cstdint>

#include "csrc/cpu/context.h"

namespace foretoken::cpu::FORETOKEN_ISA {

inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
inline int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t round_up(int64_t a, int64_t b) { return divide_up(a, b) * b; }

template <typename T>
inline int64_t bytes_of(int64_t count) {
  return count * int64_t{sizeof(T)};
}

inline constexpr int64_t kCacheLine = 64;  // bytes

// Rounds a number of elements up to whole cache lines; the default element is a byte.
template <typename T = char>
inline int64_t cache_lines(int64_t count) {
  return round_up(count, kCacheLine / int64_t{sizeof(T)});
}

}  // namespace foretoken::cpu::FORETOKEN_ISA
