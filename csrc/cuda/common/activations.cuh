// Activations of the form x · share(x), and their derivatives, with the formulas of the CPU (csrc/cpu/layers/activations.h).
#pragma once

#include "csrc/cuda/common/exp.cuh"

namespace foretoken::cuda {

// sigmoid(x) and 1 - sigmoid(x), both without cancellation
struct Sigmoid {
  float value, rest;
};

FORETOKEN_DEVICE Sigmoid sigmoid_and_rest(float x) {
  const float e = exp(-fabsf(x));
  const float large = 1.0f / (e + 1.0f), small = e * large;
  return x < 0.0f ? Sigmoid{small, large} : Sigmoid{large, small};
}

FORETOKEN_DEVICE float silu(float x) { return x * sigmoid(x); }

// d silu(x) / dx = s (1 + x (1 - s))
FORETOKEN_DEVICE float silu_slope(float x, const Sigmoid& s) { return s.value * fmaf(x, s.rest, 1.0f); }

// 2 √(2/π), and its product with 0.044715
constexpr float kGeluLinear = 1.5957691216f, kGeluCubic = 0.0713548163f;

// gelu(x) = x sigmoid(t) with t = 2 √(2/π) (x + 0.044715 x³), because (1 + tanh(t/2)) / 2 = sigmoid(t). Beyond ±16,
// where the sigmoid is 0 or 1, t stays as it is there, so that no power of x overflows.
FORETOKEN_DEVICE float gelu_limited(float x) { return x < -16.0f ? -16.0f : x > 16.0f ? 16.0f : x; }  // NaN stays

FORETOKEN_DEVICE float gelu_exponent(float x) {
  const float limited = gelu_limited(x);
  return limited * fmaf(kGeluCubic, limited * limited, kGeluLinear);
}

FORETOKEN_DEVICE float gelu(float x) { return x * sigmoid(gelu_exponent(x)); }

// d gelu(x) / dx = s (1 + x (1 - s) dt/dx), for s the sigmoid of t
FORETOKEN_DEVICE float gelu_slope(float x, const Sigmoid& s) {
  const float limited = gelu_limited(x);
  const float steepness = fmaf(3 * kGeluCubic, limited * limited, kGeluLinear);
  return s.value * fmaf(limited * s.rest, steepness, 1.0f);
}

}  // namespace foretoken::cuda
