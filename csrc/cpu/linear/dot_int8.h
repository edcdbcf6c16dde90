// The dot format in int8: groups of kGroup consecutive elements along k share a scale, and an element is the scale
// times an integer in -127 … 127. Sums of products of these integers are exact, so every level gives the same bits in
// any order. Levels with an instruction for such sums (VNNI, SDOT) add kDepth products per lane at once.
#pragma once

#include "csrc/cpu/linear/gemm.h"
#include "csrc/cpu/simd.h"
#include "csrc/cpu/sizes.h"

namespace foretoken::cpu::FORETOKEN_ISA {

inline constexpr int kGroup = 32;

// --- differences between the levels ---
//
// A 32-bit word holds kDepth integers of a row, each an Element. Weights are bytes, with kOffset added, because VNNI
// multiplies unsigned by signed bytes. Spread holds kLanes * kDepth of these bytes in the form that add_dot() reads.

#if defined(__AVX512VNNI__) || defined(__AVXVNNI__)
inline constexpr int kDepth = 4, kOffset = 128;
using Element = int8_t;
using Spread = IVec;
inline Spread spread(const uint8_t* bytes) { return load_bits<IVec>(bytes); }
// Returns sum[lane] + Σ_i weights[lane][i] * word[i], over the kDepth integers of a lane and of `word`.
inline IVec add_dot(IVec sum, Spread weights, int32_t word) {
#if defined(__AVX512VNNI__)
  return (IVec)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)weights, _mm512_set1_epi32(word));
#else
  return (IVec)_mm256_dpbusd_avx_epi32((__m256i)sum, (__m256i)weights, _mm256_set1_epi32(word));
#endif
}
#elif defined(__ARM_FEATURE_DOTPROD)
inline constexpr int kDepth = 4, kOffset = 0;
using Element = int8_t;
using Spread = int8x16_t;
inline Spread spread(const uint8_t* bytes) { return vreinterpretq_s8_u8(vld1q_u8(bytes)); }
inline IVec add_dot(IVec sum, Spread weights, int32_t word) {
  return (IVec)vdotq_s32((int32x4_t)sum, weights, vreinterpretq_s8_s32(vdupq_n_s32(word)));
}
#elif defined(__AVX512F__)
inline constexpr int kDepth = 2, kOffset = 128;
using Element = int16_t;
using Spread = __m512i;
inline Spread spread(const uint8_t* bytes) { return _mm512_maskz_cvtepu8_epi16(~0u, load_bits<__m256i>(bytes)); }
inline IVec add_dot(IVec sum, Spread weights, int32_t word) {
  return sum + (IVec)_mm512_madd_epi16(weights, _mm512_set1_epi32(word));
}
#elif defined(__AVX2__)
inline constexpr int kDepth = 2, kOffset = 128;
using Element = int16_t;
using Spread = __m256i;
inline Spread spread(const uint8_t* bytes) { return _mm256_cvtepu8_epi16(load_bits<__m128i>(bytes)); }
inline IVec add_dot(IVec sum, Spread weights, int32_t word) {
  return sum + (IVec)_mm256_madd_epi16(weights, _mm256_set1_epi32(word));
}
#elif defined(__SSE2__)
inline constexpr int kDepth = 2, kOffset = 128;
using Element = int16_t;
using Spread = __m128i;
inline Spread spread(const uint8_t* bytes) {
  return _mm_unpacklo_epi8(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes)), _mm_setzero_si128());
}
inline IVec add_dot(IVec sum, Spread weights, int32_t word) {
  return sum + (IVec)_mm_madd_epi16(weights, _mm_set1_epi32(word));
}
#else
inline constexpr int kDepth = 2, kOffset = 0;
using Element = int16_t;
using Spread = int16x8_t;
inline Spread spread(const uint8_t* bytes) { return vmovl_s8(vreinterpret_s8_u8(vld1_u8(bytes))); }
inline IVec add_dot(IVec sum, Spread weights, int32_t word) {
  const int16x8_t x = vreinterpretq_s16_s32(vdupq_n_s32(word));
  const int32x4_t low = vmull_s16(vget_low_s16(weights), vget_low_s16(x));
  return sum + (IVec)vpaddq_s32(low, vmull_high_s16(weights, x));
}
#endif

inline constexpr int kGroupWords = kGroup / kDepth;              // words of a group of a row
inline constexpr int64_t kStepBytes = int64_t{kLanes} * kDepth;  // weights for one word, for every lane

// --- conversion from float32 ---

// Returns the largest magnitude of a group as bits. As integers, bits have the order of the numbers, with NaN at the
// top.
template <typename T>
inline int32_t largest_bits(const T* x, int count) {
  IVec largest = {};
  for (int i = 0; i < count; i += kLanes) {
    const IVec bits = as_int(abs(load_n(x + i, lanes_of(count - i))));
    largest = bits > largest ? bits : largest;
  }
#pragma GCC unroll 4
  for (int half = kLanes / 2; half > 0; half /= 2) {
    const IVec other = __builtin_shuffle(largest, (iota() + half) & (kLanes - 1));
    largest = other > largest ? other : largest;
  }
  return largest[0];
}

inline float float_of(int32_t bits) { return __builtin_bit_cast(float, bits); }

// The inverse of a smaller scale would not be finite.
inline constexpr float kSmallestScale = 0x1p-120f;

// Returns the scale of a group whose largest magnitude is `bits`: 0 if that is too small, NaN if it is not finite.
inline float scale_for(int32_t bits) {
  if (bits >= 0x7f800000) return __builtin_nanf("");
  const float scale = float_of(bits) / 127;
  return scale < kSmallestScale ? 0 : scale;
}

// out[i] = x[i] / scale, rounded to nearest even, for i < count; out[i] = 0 for count ≤ i < kGroup, or if scale is 0 or
// NaN
template <typename T>
inline void quantize(const T* x, int count, float scale, int32_t* out) {
  const Vec inverse = broadcast(scale > 0 ? 1 / scale : 0);
  const Vec magic = broadcast(0x1.8p23f);  // adding it rounds to an integer, which the low bits then hold
  for (int i = 0; i < kGroup; i += kLanes) {
    const Vec scaled = scale > 0 ? load_n(x + i, lanes_of(count - i)) * inverse : Vec{};
    store(out + i, as_int(scaled + magic) - as_int(magic));
  }
}

// --- the format ---

struct DotInt8 {
  static int64_t groups_of(int64_t k) { return divide_up(k, kGroup); }

  // A panel: scales [groups][kLanes] in bfloat16, then, from the next cache line on, integers
  // [groups][kGroupWords][kLanes][kDepth].
  struct Panel {
    BFloat16* scales;
    uint8_t* bytes;

    static int64_t scale_bytes(int64_t k) { return cache_lines(bytes_of<BFloat16>(groups_of(k) * kLanes)); }

    Panel(const void* panel, int64_t k) {
      char* const begin = static_cast<char*>(const_cast<void*>(panel));
      scales = reinterpret_cast<BFloat16*>(begin);
      bytes = reinterpret_cast<uint8_t*>(begin + scale_bytes(k));
    }

    BFloat16& scale(int64_t group, int64_t lane) const { return scales[group * kLanes + lane]; }
    uint8_t& at(int64_t group, int i, int64_t lane) const {
      return bytes[((group * kGroupWords + i / kDepth) * kLanes + lane) * kDepth + i % kDepth];
    }
  };

  static int64_t panel_bytes(int64_t k) { return Panel::scale_bytes(k) + groups_of(k) * kGroupWords * kStepBytes; }

  // Divides by the scale as stored, so that rounding the scale to bfloat16 adds no error.
  template <typename T>
  static void pack_column(const T* weights, int64_t k, void* panel, int64_t lane) {
    const Panel out(panel, k);
    for (int64_t group = 0; group < groups_of(k); ++group) {
      const T* const from = weights + group * kGroup;
      const int count = static_cast<int>(smaller(kGroup, k - group * kGroup));
      BFloat16& stored = out.scale(group, lane);
      store_n(&stored, broadcast(scale_for(largest_bits(from, count))), 1);
      int32_t integers[kGroup];
      quantize(from, count, to_float(stored), integers);
      for (int i = 0; i < kGroup; ++i) out.at(group, i, lane) = static_cast<uint8_t>(integers[i] + kOffset);
    }
  }

  // Fills a column behind the last one.
  static void clear_column(int64_t k, void* panel, int64_t lane) {
    const Panel out(panel, k);
    for (int64_t group = 0; group < groups_of(k); ++group) {
      out.scale(group, lane) = {};
      for (int i = 0; i < kGroup; ++i) out.at(group, i, lane) = kOffset;
    }
  }

  static void unpack_column(const void* panel, int64_t k, int64_t lane, float* out) {
    const Panel in(panel, k);
    for (int64_t group = 0; group < groups_of(k); ++group) {
      const float scale = to_float(in.scale(group, lane));
      const int64_t count = smaller(kGroup, k - group * kGroup);
      for (int i = 0; i < count; ++i) {
        // Removes the offset and restores the sign.
        const auto integer = static_cast<int8_t>(in.at(group, i, lane) - kOffset);
        out[group * kGroup + i] = static_cast<float>(integer) * scale;
      }
    }
  }

  // A tile of rows: for each group, scales [rows], initial sums [rows] and words [kGroupWords][rows]. The initial sum
  // cancels the offset of the weights.
  static constexpr int64_t kRowGroupBytes = 4 + 4 + 4 * kGroupWords;
  static int64_t row_bytes(int64_t k) { return groups_of(k) * kRowGroupBytes; }

  static void pack_row(const float* x, int64_t k, int rows, int r, char* tile) {
    for (int64_t group = 0; group < groups_of(k); ++group) {
      const float* const from = x + group * kGroup;
      const int count = static_cast<int>(smaller(kGroup, k - group * kGroup));
      const float scale = scale_for(largest_bits(from, count));
      int32_t integers[kGroup];
      quantize(from, count, scale, integers);
      int32_t sum = 0;
      Element elements[kGroup];
      for (int i = 0; i < kGroup; ++i) {
        sum += integers[i];
        elements[i] = static_cast<Element>(integers[i]);
      }
      char* const to = tile + group * rows * kRowGroupBytes;
      reinterpret_cast<float*>(to)[r] = scale;
      auto* const words = reinterpret_cast<int32_t*>(to) + rows;
      words[r] = -kOffset * sum;
      for (int w = 0; w < kGroupWords; ++w) __builtin_memcpy(&words[(w + 1) * rows + r], elements + w * kDepth, 4);
    }
  }

  // One panel suffices, because sums of different groups do not wait for each other.
  static constexpr int panels_at_once(int) { return 1; }

  // Adds the products to sums, which the caller sets to 0.
  template <int kRows>
  static inline void multiply(int64_t k, const char* rows, const void* panel, Vec (&sums)[1][kRows]) {
    const Panel in(panel, k);
    const BFloat16* scales = in.scales;
    const uint8_t* bytes = in.bytes;
    for (int64_t group = 0; group < groups_of(k); ++group) {
      const auto* const row_scales = reinterpret_cast<const float*>(rows);
      const auto* words = reinterpret_cast<const int32_t*>(rows) + kRows;
      IVec dots[kRows];
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) dots[r] = broadcast_int(words[r]);
#pragma GCC unroll 16
      for (int w = 0; w < kGroupWords; ++w) {
        words += kRows;
        __builtin_prefetch(bytes + kPrefetchBytes, 0, 3);
        const Spread weights = spread(bytes);
        bytes += kStepBytes;
#pragma GCC unroll 16
        for (int r = 0; r < kRows; ++r) dots[r] = add_dot(dots[r], weights, words[r]);
      }
      const Vec scale = load(scales);
      scales += kLanes;
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) sums[0][r] = fma(to_float(dots[r]), scale * broadcast(row_scales[r]), sums[0][r]);
      rows += kRows * kRowGroupBytes;
    }
  }
};

}  // namespace foretoken::cpu::FORETOKEN_ISA
