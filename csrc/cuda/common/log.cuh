// The natural logarithm, with the accuracy and the bits of the CPU's (csrc/cpu/simd.h), for the reason that exp.cuh
// gives. Intrinsics and fmaf round every operation explicitly, so the compiler contracts none: every kernel gets the
// same bits.
#pragma once

#include "csrc/cuda/platform.h"

namespace foretoken::cuda {

// x = 2^e * (1 + f) with 1 + f in √½ … √2; log(1 + f) = f - f²/2 + s (f²/2 + R(s²)) with s = f / (2 + f), where R is
// the series of 2 atanh(s) / s - 2.
FORETOKEN_DEVICE float log(float x) {
  const bool tiny = x < 0x1p-126f;
  const int bits = __float_as_int(tiny ? __fmul_rn(x, 0x1p23f) : x);
  const int exponent = (bits - 0x3f3504f3) >> 23;
  const float f = __fsub_rn(__int_as_float(bits - static_cast<int>(static_cast<unsigned>(exponent) << 23)), 1.0f);
  const float e = __fsub_rn(static_cast<float>(exponent), tiny ? 23.0f : 0.0f);
  const float s = __fdiv_rn(f, __fadd_rn(f, 2.0f)), s2 = __fmul_rn(s, s);
  float series = 2.0f / 9;
  series = fmaf(series, s2, 2.0f / 7);
  series = fmaf(series, s2, 2.0f / 5);
  series = fmaf(series, s2, 2.0f / 3);
  const float half_square = __fmul_rn(__fmul_rn(f, f), 0.5f);
  const float correction = fmaf(s, fmaf(series, s2, half_square), __fmul_rn(e, -2.12194440e-4f));
  const float result = fmaf(e, 0.693359375f, __fsub_rn(f, __fsub_rn(half_square, correction)));
  if (!(x < __builtin_inff())) return x;  // infinity and NaN
  return x > 0 ? result : x == 0 ? -__builtin_inff() : __builtin_nanf("");
}

}  // namespace foretoken::cuda
