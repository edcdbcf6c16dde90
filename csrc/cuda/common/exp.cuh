// The exponential function and functions of it, with the accuracy and the bits of the CPU's (csrc/cpu/simd.h). CUDA's
// expf is not used: the emulator would call the C library's expf instead, so its tests would say nothing about CUDA's.
#pragma once

#include "csrc/cuda/platform.h"

namespace foretoken::cuda {

// e^x = scale * (tail + 1) with scale = 2^n1 * 2^n2, for x in -104 … 89 (or NaN): Cody and Waite's reduction, then the
// Taylor series, whose first missing term is below 2^-27 for |r| ≤ ln(2)/2.
struct ExpParts {
  float tail, scale1, scale2;
};

FORETOKEN_DEVICE ExpParts exp_parts(float x) {
  constexpr float kMagic = 0x1.8p23f;  // adding it rounds to an integer and leaves that in the low bits
  const float shifted = fmaf(x, 0x1.715476p0f, kMagic);
  const float n = shifted - kMagic;
  float r = fmaf(n, -0.693359375f, x);  // ln(2) in two parts, the first exact in n * part
  r = fmaf(n, 2.12194440e-4f, r);
  float p = 1.0f / 5040;
  p = fmaf(p, r, 1.0f / 720);
  p = fmaf(p, r, 1.0f / 120);
  p = fmaf(p, r, 1.0f / 24);
  p = fmaf(p, r, 1.0f / 6);
  p = fmaf(p, r, 0.5f);
  const int exponent = __float_as_int(shifted) - __float_as_int(kMagic);
  const int half = exponent >> 1;  // two factors, so that results may be denormal
  const auto power = [](int e) { return __uint_as_float(static_cast<unsigned>(e + 127) << 23); };
  return {fmaf(p, r * r, r), power(half), power(exponent - half)};
}

FORETOKEN_DEVICE float exp(float x) {
  const ExpParts e = exp_parts(x < -104.0f ? -104.0f : x > 89.0f ? 89.0f : x);  // NaN stays
  return (e.tail + 1.0f) * e.scale1 * e.scale2;
}

// e^x for x ≤ 88 (or NaN), with zero for results below 2^-126 (so for every x ≤ -88): that needs only one power of two.
// The polynomial is the best of its degree, to 2^-28 in |r| ≤ ln(2)/2.
FORETOKEN_DEVICE float exp_or_zero(float x) {
  constexpr float kMagic = 0x1.8p23f;
  const float limited = x < -88.0f ? -88.0f : x;  // NaN stays
  const float shifted = fmaf(limited, 0x1.715476p0f, kMagic);
  const float n = shifted - kMagic;
  float r = fmaf(n, -0.693359375f, limited);
  r = fmaf(n, 2.12194440e-4f, r);
  float p = 0x1.6a23cep-10f;
  p = fmaf(p, r, 0x1.123a20p-7f);
  p = fmaf(p, r, 0x1.5558f2p-5f);
  p = fmaf(p, r, 0x1.555492p-3f);
  p = fmaf(p, r, 0x1.fffffcp-2f);
  p = fmaf(p, r, 1.0f);
  p = fmaf(p, r, 1.0f);
  // The exponent's bits: the shift drops those of kMagic. At -88 the result is the bits of zero.
  return p * __uint_as_float((__float_as_uint(shifted) << 23) + 0x3f800000u);
}

// (e^2x - 1) / (e^2x + 1), without cancellation near zero
FORETOKEN_DEVICE float tanh(float x) {
  const float twice = 2.0f * fabsf(x);
  const ExpParts e = exp_parts(twice > 40.0f ? 40.0f : twice);
  const float scale = e.scale1 * e.scale2;
  const float numerator = fmaf(e.tail, scale, scale - 1.0f);
  return copysignf(numerator / (numerator + 2.0f), x);
}

FORETOKEN_DEVICE float sigmoid(float x) {
  const float e = exp(-fabsf(x));
  return (x < 0.0f ? e : 1.0f) / (e + 1.0f);
}

}  // namespace foretoken::cuda
