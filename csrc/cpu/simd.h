// One float vector per instruction-set level, and the few functions that kernels need on it. Operators, comparisons and
// `mask ? a : b` are those of the compiler's vector extensions; this file adds the functions that these lack.
//
// exp, log, tanh and sigmoid have errors of about 2 units in the last place over the whole range; NaN stays NaN.
#pragma once

#include <cstdint>

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

namespace foretoken::cpu::FORETOKEN_ISA {

#if defined(__AVX512F__)
inline constexpr int kLanes = 16;
#elif defined(__AVX2__)
inline constexpr int kLanes = 8;
#else
inline constexpr int kLanes = 4;
#endif

typedef float Vec __attribute__((vector_size(kLanes * 4)));
typedef int32_t IVec __attribute__((vector_size(kLanes * 4)));      // also the type of comparisons: -1 or 0
typedef uint32_t UVec __attribute__((vector_size(kLanes * 4)));     // sums wrap around
typedef uint64_t WideVec __attribute__((vector_size(kLanes * 4)));  // half as many lanes
typedef uint16_t HalfVec __attribute__((vector_size(kLanes * 2)));  // storage of 16-bit floats

// 16-bit storage types; arithmetic is always float32.
struct BFloat16 {
  uint16_t bits;
};
struct Float16 {
  uint16_t bits;
};

// --- differences between the levels ---

#if defined(__AVX512F__)
// Used for zero-masking with all lanes where GCC 12 warns about the undefined operand of the plain intrinsic.
inline constexpr __mmask16 kAll = 0xffff;
inline Vec broadcast(float x) { return _mm512_set1_ps(x); }
// a * b + c, rounded once if the level has the instruction, twice at the x86 baseline.
inline Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
// Returns b if either is NaN.
inline Vec max(Vec a, Vec b) { return _mm512_maskz_max_ps(kAll, a, b); }
inline Vec min(Vec a, Vec b) { return _mm512_maskz_min_ps(kAll, a, b); }
inline Vec sqrt(Vec x) { return _mm512_maskz_sqrt_ps(kAll, x); }
// Multiplies the lower halves of the lanes.
inline WideVec multiply_low(WideVec a, WideVec b) {
  return (WideVec)_mm512_maskz_mul_epu32(0xff, (__m512i)a, (__m512i)b);
}
#elif defined(__AVX2__)
inline Vec broadcast(float x) { return _mm256_set1_ps(x); }
inline Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
inline Vec max(Vec a, Vec b) { return _mm256_max_ps(a, b); }
inline Vec min(Vec a, Vec b) { return _mm256_min_ps(a, b); }
inline Vec sqrt(Vec x) { return _mm256_sqrt_ps(x); }
inline WideVec multiply_low(WideVec a, WideVec b) { return (WideVec)_mm256_mul_epu32((__m256i)a, (__m256i)b); }
#elif defined(__SSE2__)
inline Vec broadcast(float x) { return _mm_set1_ps(x); }
inline Vec fma(Vec a, Vec b, Vec c) { return a * b + c; }
inline Vec max(Vec a, Vec b) { return _mm_max_ps(a, b); }
inline Vec min(Vec a, Vec b) { return _mm_min_ps(a, b); }
inline Vec sqrt(Vec x) { return _mm_sqrt_ps(x); }
inline WideVec multiply_low(WideVec a, WideVec b) { return (WideVec)_mm_mul_epu32((__m128i)a, (__m128i)b); }
#else
inline Vec broadcast(float x) { return vdupq_n_f32(x); }
inline Vec fma(Vec a, Vec b, Vec c) { return vfmaq_f32(c, a, b); }
inline Vec max(Vec a, Vec b) { return a > b ? a : b; }
inline Vec min(Vec a, Vec b) { return a < b ? a : b; }
inline Vec sqrt(Vec x) { return vsqrtq_f32(x); }
inline WideVec multiply_low(WideVec a, WideVec b) {
  return (WideVec)vmull_u32(vmovn_u64((uint64x2_t)a), vmovn_u64((uint64x2_t)b));
}
#endif

// --- bits ---

inline IVec as_int(Vec x) { return (IVec)x; }
inline Vec as_float(IVec x) { return (Vec)x; }
inline IVec broadcast_int(int32_t x) { return x - IVec{}; }
inline Vec abs(Vec x) { return as_float(as_int(x) & 0x7fffffff); }
inline Vec copy_sign(Vec magnitude, Vec sign) { return as_float(as_int(magnitude) | (as_int(sign) & INT32_MIN)); }
inline Vec to_float(IVec x) { return __builtin_convertvector(x, Vec); }

// 0, 1, 2, …
inline IVec iota() {
  IVec v;
  for (int i = 0; i < kLanes; ++i) v[i] = i;
  return v;
}

// --- memory, with any alignment ---

template <typename Vector>
inline Vector load_bits(const void* p) {
  Vector v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}

inline Vec load(const float* p) { return load_bits<Vec>(p); }
inline IVec load(const int32_t* p) { return load_bits<IVec>(p); }
inline void store(float* p, Vec v) { __builtin_memcpy(p, &v, sizeof v); }
inline void store(int32_t* p, IVec v) { __builtin_memcpy(p, &v, sizeof v); }

inline Vec load(const BFloat16* p) { return as_float(__builtin_convertvector(load_bits<HalfVec>(p), IVec) << 16); }

// Rounds to nearest even; NaN stays NaN and becomes quiet.
inline void store(BFloat16* p, Vec v) {
  const UVec bits = (UVec)v;
  const UVec rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  const HalfVec half = __builtin_convertvector(v == v ? rounded : (bits >> 16) | 0x40, HalfVec);
  __builtin_memcpy(p, &half, sizeof half);
}

inline Vec load(const Float16* p) {
#if defined(__AVX512F__)
  return _mm512_maskz_cvtph_ps(kAll, load_bits<__m256i>(p));
#elif defined(__F16C__)
  return _mm256_cvtph_ps(load_bits<__m128i>(p));
#else
  const IVec bits = __builtin_convertvector(load_bits<HalfVec>(p), IVec);
  const IVec magnitude = bits & 0x7fff;
  // Interpreted as float32, the exponent is 112 too small. The product is exact, for denormal numbers as well.
  const Vec finite = as_float(magnitude << 13) * 0x1p112f;
  const IVec special = (magnitude << 13) | 0x7f800000;
  return as_float((magnitude >= 0x7c00 ? special : as_int(finite)) | (bits >> 15 << 31));
#endif
}

inline void store(Float16* p, Vec v) {
#if defined(__AVX512F__)
  const __m256i half = _mm512_maskz_cvtps_ph(kAll, v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#elif defined(__F16C__)
  const __m128i half = _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#else
  const IVec magnitude = as_int(abs(v));
  const IVec normal = (IVec)((UVec)magnitude + (UVec)(0xfff + ((magnitude >> 13) & 1) - (112 << 23))) >> 13;
  // Below 2^-14 float16 has a spacing of 2^-24, like float32 at 0.5, so the addition rounds.
  const IVec small = as_int(abs(v) + 0.5f) - 0x3f000000;
  IVec bits = magnitude < (113 << 23) ? small : normal;
  bits = magnitude >= 0x477ff000 ? broadcast_int(0x7c00) : bits;  // from 65520 on
  bits = magnitude > 0x7f800000 ? broadcast_int(0x7e00) : bits;
  const HalfVec half = __builtin_convertvector(bits | ((as_int(v) >> 16) & 0x8000), HalfVec);
#endif
  __builtin_memcpy(p, &half, sizeof half);
}

// Number of lanes to process when `left` elements are left.
template <typename Int>
inline int lanes_of(Int left) {
  return left < 0 ? 0 : left > kLanes ? kLanes : static_cast<int>(left);
}

// Loads the first n lanes, 0 ≤ n ≤ kLanes; the others are zero, and their memory is not accessed.
template <typename T>
inline auto load_n(const T* p, int n) {
  if (n == kLanes) return load(p);
  T lanes[kLanes] = {};
  for (int i = 0; i < n; ++i) lanes[i] = p[i];
  return load(lanes);
}

template <typename T, typename Vector>
inline void store_n(T* p, Vector v, int n) {
  if (n == kLanes) return store(p, v);
  T lanes[kLanes];
  store(lanes, v);
  for (int i = 0; i < n; ++i) p[i] = lanes[i];
}

#if defined(__AVX512F__)
inline Vec load_n(const float* p, int n) { return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << n) - 1), p); }
inline void store_n(float* p, Vec v, int n) { _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << n) - 1), v); }
#elif defined(__AVX2__)
// Avoids masked instructions for whole vectors: on some processors they are much slower than plain ones.
inline Vec load_n(const float* p, int n) {
  return n == kLanes ? load(p) : _mm256_maskload_ps(p, (__m256i)(iota() < n));
}
inline void store_n(float* p, Vec v, int n) {
  if (n == kLanes) return store(p, v);
  _mm256_maskstore_ps(p, (__m256i)(iota() < n), v);
}
#endif

inline float to_float(BFloat16 x) { return __builtin_bit_cast(float, static_cast<uint32_t>(x.bits) << 16); }
inline float to_float(Float16 x) { return load_n(&x, 1)[0]; }
inline float to_float(float x) { return x; }

// --- reductions over the lanes ---

// Adds the lanes pairwise, in a tree.
inline float sum(Vec v) {
  float lanes[kLanes];
  store(lanes, v);
  for (int half = kLanes / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  }
  return lanes[0];
}

// Whether a comparison holds in any lane.
inline bool any(IVec mask) {
  const WideVec pairs = (WideVec)mask;
  uint64_t bits = 0;
  for (int i = 0; i < kLanes / 2; ++i) bits |= pairs[i];
  return bits != 0;
}

// Returns the largest lane; no lane may be NaN.
inline float largest(Vec v) {
  float result = v[0];
  for (int i = 1; i < kLanes; ++i) result = v[i] > result ? v[i] : result;
  return result;
}

// --- functions ---

// e^x = scale * (tail + 1) with scale = scale1 * scale2, both powers of two: Cody and Waite's reduction, then the
// Taylor series, whose first missing term is below 2^-27 for |r| ≤ ln(2)/2. The argument must be in -104 … 89, or NaN.
struct ExpParts {
  Vec tail, scale1, scale2;
};

inline ExpParts exp_parts(Vec x) {
  const Vec magic = broadcast(0x1.8p23f);  // adding it rounds to an integer, which the low bits then hold
  const Vec shifted = fma(x, broadcast(0x1.715476p0f), magic);
  const Vec n = shifted - magic;
  Vec r = fma(n, broadcast(-0.693359375f), x);  // ln(2) in two parts, the first exact in n * part
  r = fma(n, broadcast(2.12194440e-4f), r);
  Vec p = broadcast(1.0f / 5040);
  p = fma(p, r, broadcast(1.0f / 720));
  p = fma(p, r, broadcast(1.0f / 120));
  p = fma(p, r, broadcast(1.0f / 24));
  p = fma(p, r, broadcast(1.0f / 6));
  p = fma(p, r, broadcast(0.5f));
  const IVec exponent = as_int(shifted) - as_int(magic);
  const IVec half = exponent >> 1;  // two factors, because the result may be denormal
  return {fma(p, r * r, r), as_float((half + 127) << 23), as_float((exponent - half + 127) << 23)};
}

inline Vec exp(Vec x) {
  const ExpParts e = exp_parts(min(broadcast(89.0f), max(broadcast(-104.0f), x)));
  return (e.tail + 1.0f) * e.scale1 * e.scale2;
}

// x = 2^e * (1 + f) with 1 + f in √½ … √2; log(1 + f) = f - f²/2 + s (f²/2 + R(s²)) with s = f / (2 + f) and R the
// series of 2 atanh(s) / s - 2
inline Vec log(Vec x) {
  const IVec tiny = x < 0x1p-126f;
  const Vec scaled = tiny ? x * 0x1p23f : x;
  const UVec bits = (UVec)scaled;
  const IVec exponent = (IVec)(bits - 0x3f3504f3) >> 23;
  const Vec f = (Vec)(bits - (UVec)(exponent << 23)) - 1.0f;
  const Vec e = to_float(exponent) - (tiny ? broadcast(23.0f) : Vec{});
  const Vec s = f / (f + 2.0f);
  const Vec s2 = s * s;
  Vec series = broadcast(2.0f / 9);
  series = fma(series, s2, broadcast(2.0f / 7));
  series = fma(series, s2, broadcast(2.0f / 5));
  series = fma(series, s2, broadcast(2.0f / 3));
  const Vec half_square = f * f * 0.5f;
  const Vec correction = fma(s, fma(series, s2, half_square), e * -2.12194440e-4f);
  Vec result = fma(e, broadcast(0.693359375f), f - (half_square - correction));
  result = x == 0.0f ? broadcast(-__builtin_inff()) : result;
  result = x < 0.0f ? broadcast(__builtin_nanf("")) : result;
  return x < __builtin_inff() ? result : x;  // infinity and NaN
}

// (e^2x - 1) / (e^2x + 1), without cancellation near zero
inline Vec tanh(Vec x) {
  const ExpParts e = exp_parts(min(broadcast(40.0f), abs(x) * 2.0f));
  const Vec scale = e.scale1 * e.scale2;
  const Vec numerator = fma(e.tail, scale, scale - 1.0f);
  return copy_sign(numerator / (numerator + 2.0f), x);
}

inline Vec sigmoid(Vec x) {
  const Vec e = exp(-abs(x));
  return (x < 0.0f ? e : broadcast(1.0f)) / (e + 1.0f);
}

}  // namespace foretoken::cpu::FORETOKEN_ISA
