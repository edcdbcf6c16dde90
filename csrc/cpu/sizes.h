// Arithmetic on sizes.
#pragma once

#include <cstdint>

#include "csrc/cpu/context.h"

namespace foretoken::cpu::FORETOKEN_ISA {

inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
inline int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t round_up(int64_t a, int64_t b) { return divide_up(a, b) * b; }

}  // namespace foretoken::cpu::FORETOKEN_ISA
