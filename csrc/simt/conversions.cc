// Conversions between float32 and 16-bit floats, rounding to nearest even.
#include <bit>
#include <cmath>

#include "csrc/simt/cuda_runtime.h"
#include "csrc/simt/ptx.h"

namespace foretoken::simt::ptx {

uint16_t bfloat16_of_float(float x) {
  if (std::isnan(x)) return 0x7fff;
  const auto bits = std::bit_cast<uint32_t>(x);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

uint32_t bfloat16x2_of_floats(float low, float high) {
  return static_cast<uint32_t>(bfloat16_of_float(high)) << 16 | bfloat16_of_float(low);
}

uint32_t multiply_bfloat16x2(uint32_t a, uint32_t b) {
  // The product of two bfloat16 numbers is exact in float32, except for subnormal products, which are rounded twice.
  const auto product = [](uint32_t x, uint32_t y) { return std::bit_cast<float>(x) * std::bit_cast<float>(y); };
  return bfloat16x2_of_floats(product(a << 16, b << 16), product(a & 0xffff0000, b & 0xffff0000));
}

uint16_t half_of_float(float x) {
  if (std::isnan(x)) return 0x7fff;
  const auto bits = std::bit_cast<uint32_t>(x);
  const auto sign = static_cast<uint16_t>(bits >> 16 & 0x8000);
  const float magnitude = std::fabs(x);
  if (magnitude >= 65520) return sign | 0x7c00;
  constexpr float kSmallestNormal = 0x1p-14f;
  if (magnitude < kSmallestNormal) {
    // Rounds to a multiple of 2^-24 by adding 2^-1, whose last bit is worth 2^-24.
    const float rounded = magnitude + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(rounded) - std::bit_cast<uint32_t>(0.5f)));
  }
  const uint32_t unsigned_bits = bits & 0x7fffffff;
  const uint32_t rebiased = unsigned_bits - ((127 - 15) << 23);
  return static_cast<uint16_t>(sign | ((rebiased + 0xfff + (rebiased >> 13 & 1)) >> 13));
}

float float_of_half(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
  const uint32_t exponent = half >> 10 & 0x1f, mantissa = half & 0x3ff;
  // Every NaN becomes the same NaN, as on GPUs.
  if (exponent == 0x1f) return std::bit_cast<float>(mantissa != 0 ? 0x7fffffff : sign | 0x7f800000);
  if (exponent == 0) {
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(magnitude));
  }
  return std::bit_cast<float>(sign | (exponent + 127 - 15) << 23 | mantissa << 13);
}

}  // namespace foretoken::simt::ptx
