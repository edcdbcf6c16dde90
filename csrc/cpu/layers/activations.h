// Activations of the form x · share(x), and their derivatives, with errors of a few units in the last place.
#pragma once

#include "csrc/cpu/simd.h"

namespace foretoken::cpu::FORETOKEN_ISA {

// sigmoid(x) and 1 - sigmoid(x), both without cancellation
struct Sigmoid {
  Vec value, rest;
};

inline Sigmoid sigmoid_and_rest(Vec x) {
  const Vec e = exp(-abs(x));
  const Vec large = 1.0f / (e + 1.0f), small = e * large;
  return {x < 0.0f ? small : large, x < 0.0f ? large : small};
}

inline Vec silu(Vec x) { return x * sigmoid(x); }

// d silu(x) / dx = s (1 + x (1 - s))
inline Vec silu_slope(Vec x, const Sigmoid& s) { return s.value * fma(x, s.rest, broadcast(1.0f)); }

// 2 √(2/π), and its product with 0.044715
inline constexpr float kGeluLinear = 1.5957691216f, kGeluCubic = 0.0713548163f;

// gelu(x) = x sigmoid(t) with t = 2 √(2/π) (x + 0.044715 x³), because (1 + tanh(t/2)) / 2 = sigmoid(t). Beyond ±16,
// where the sigmoid is 0 or 1, t stays as it is there, so that no power of x overflows.
inline Vec gelu_limited(Vec x) { return min(broadcast(16.0f), max(broadcast(-16.0f), x)); }

inline Vec gelu_exponent(Vec x) {
  const Vec limited = gelu_limited(x);
  return limited * fma(broadcast(kGeluCubic), limited * limited, broadcast(kGeluLinear));
}

inline Vec gelu(Vec x) { return x * sigmoid(gelu_exponent(x)); }

// d gelu(x) / dx = s (1 + x (1 - s) dt/dx), for s the sigmoid of t
inline Vec gelu_slope(Vec x, const Sigmoid& s) {
  const Vec limited = gelu_limited(x);
  const Vec steepness = fma(broadcast(3 * kGeluCubic), limited * limited, broadcast(kGeluLinear));
  return s.value * fma(limited * s.rest, steepness, broadcast(1.0f));
}

}  // namespace foretoken::cpu::FORETOKEN_ISA
