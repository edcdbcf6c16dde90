// Words of int8: every kGroup numbers that follow one another along k share a scale, so that a number is its scale
// times an integer of -127 … 127. Sums of products of such integers are exact, and so the same on every level, whatever
// the order; where a level has an instruction for them (VNNI, SDOT) it takes kDepth products a lane at once.
#pragma once

#include "csrc/cpu/linear/gemm.h"
#include "csrc/cpu/simd.h"
#include "csrc/cpu/sizes.h"

namespace foretoken::cpu::FORETOKEN_ISA {

inline constexpr int kGroup = 32;

// --- what differs between the levels ---
//
// kDepth integers of one row lie in a 32-bit word as Element; those of weights as bytes, kOffset added, because VNNI
// multiplies unsigned by signed ones. Spread is kLanes * kDepth such bytes as multiply_words() wants them.

#if defined(__AVX512VNNI__) || defined(__AVXVNNI__)
inline constexpr int kDepth = 4, kOffset = 128;
using Element = int8_t;
using Spread = IVec;
inline Spread spread(const uint8_t* bytes) { return load_bits<IVec>(bytes); }
// sum[lane] += the products of weights[lane][…] with those of `word`, summed
inline IVec multiply_words(IVec sum, Spread weights, int32_t word) {
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
inline IVec multiply_words(IVec sum, Spread weights, int32_t word) {
  return (IVec)vdotq_s32((int32x4_t)sum, weights, vreinterpretq_s8_s32(vdupq_n_s32(word)));
}
#elif defined(__AVX512F__)
inline constexpr int kDepth = 2, kOffset = 128;
using Element = int16_t;
using Spread = __m512i;
inline Spread spread(const uint8_t* bytes) { return _mm512_maskz_cvtepu8_epi16(~0u, load_bits<__m256i>(bytes)); }
inline IVec multiply_words(IVec sum, Spread weights, int32_t word) {
  return sum + (IVec)_mm512_madd_epi16(weights, _mm512_set1_epi32(word));
}
#elif defined(__AVX2__)
inline constexpr int kDepth = 2, kOffset = 128;
using Element = int16_t;
using Spread = __m256i;
inline Spread spread(const uint8_t* bytes) { return _mm256_cvtepu8_epi16(load_bits<__m128i>(bytes)); }
inline IVec multiply_words(IVec sum, Spread weights, int32_t word) {
  return sum + (IVec)_mm256_madd_epi16(weights, _mm256_set1_epi32(word));
}
#elif defined(__SSE2__)
inline constexpr int kDepth = 2, kOffset = 128;
using Element = int16_t;
using Spread = __m128i;
inline Spread spread(const uint8_t* bytes) {
  return _mm_unpacklo_epi8(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes)), _mm_setzero_si128());
}
inline IVec multiply_words(IVec sum, Spread weights, int32_t word) {
  return sum + (IVec)_mm_madd_epi16(weights, _mm_set1_epi32(word));
}
#else
inline constexpr int kDepth = 2, kOffset = 0;
using Element = int16_t;
using Spread = int16x8_t;
inline Spread spread(const uint8_t* bytes) { return vmovl_s8(vreinterpret_s8_u8(vld1_u8(bytes))); }
inline IVec multiply_words(IVec sum, Spread weights, int32_t word) {
  const int16x8_t x = vreinterpretq_s16_s32(vdupq_n_s32(word));
  const int32x4_t low = vmull_s16(vget_low_s16(weights), vget_low_s16(x));
  return sum + (IVec)vpaddq_s32(low, vmull_high_s16(weights, x));
}
#endif

inline constexpr int kWords = kGroup / kDepth;                   // of a group
inline constexpr int64_t kWordBytes = int64_t{kLanes} * kDepth;  // one word of weights for every lane

// --- from float32 ---

// A group's largest magnitude as bits, which as integers are in the order of the numbers, with NaN above all.
template <typename T>
inline int32_t largest_bits(const T* x, int count) {
  IVec largest = {};
  for (int i = 0; i < count; i += kLanes) {
    const IVec bits = as_int(abs(load_n(x + i, count - i < kLanes ? count - i : kLanes)));
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

// Below it 1 / scale would not be finite.
inline constexpr float kSmallestScale = 0x1p-120f;

// The scale for numbers up to `bits`: 0 where they are as good as 0, and NaN where one of them is not finite.
inline float scale_for(int32_t bits) {
  if (bits >= 0x7f800000) return __builtin_nanf("");
  const float scale = float_of(bits) / 127;
  return scale < kSmallestScale ? 0 : scale;
}

// out[i] = x[i] / scale, rounded to nearest even, for i < kGroup; 0 from i = count on, and where scale is 0 or NaN
template <typename T>
inline void quantize(const T* x, int count, float scale, int32_t* out) {
  const Vec inverse = broadcast(scale > 0 ? 1 / scale : 0);
  const Vec magic = broadcast(0x1.8p23f);  // adding it rounds to an integer and leaves that in the low bits
  for (int i = 0; i < kGroup; i += kLanes) {
    const int left = count - i < 0 ? 0 : count - i < kLanes ? count - i : kLanes;
    const Vec scaled = scale > 0 ? load_n(x + i, left) * inverse : Vec{};
    store(out + i, as_int(scaled + magic) - as_int(magic));
  }
}

// --- the format ---

struct Int8Words {
  static int64_t groups_of(int64_t k) { return divide_up(k, kGroup); }

  // A panel: [groups][kLanes] scales in bfloat16, from the next cache line on [groups][kWords][kLanes][kDepth]
  // integers.
  struct Panel {
    BFloat16* scales;
    uint8_t* bytes;

    static int64_t scale_bytes(int64_t k) {
      return round_up(groups_of(k) * kLanes * static_cast<int64_t>(sizeof(BFloat16)), 64);
    }

    Panel(const void* panel, int64_t k) {
      char* const begin = static_cast<char*>(const_cast<void*>(panel));
      scales = reinterpret_cast<BFloat16*>(begin);
      bytes = reinterpret_cast<uint8_t*>(begin + scale_bytes(k));
    }

    BFloat16& scale(int64_t group, int64_t lane) const { return scales[group * kLanes + lane]; }
    uint8_t& at(int64_t group, int i, int64_t lane) const {
      return bytes[((group * kWords + i / kDepth) * kLanes + lane) * kDepth + i % kDepth];
    }
  };

  static int64_t panel_bytes(int64_t k) { return Panel::scale_bytes(k) + groups_of(k) * kWords * kWordBytes; }

  // The integers are of the scale as it is stored, so that its rounding costs nothing.
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

  // A column that is not there.
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
        // A byte without its offset, signed.
        const auto integer = static_cast<int8_t>(in.at(group, i, lane) - kOffset);
        out[group * kGroup + i] = static_cast<float>(integer) * scale;
      }
    }
  }

  // A tile of rows: for each group [rows] scales, [rows] first sums, [kWords][rows] words of integers.
  static constexpr int64_t kRowGroupBytes = 4 + 4 + 4 * kWords;
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
      for (int w = 0; w < kWords; ++w) __builtin_memcpy(&words[(w + 1) * rows + r], elements + w * kDepth, 4);
    }
  }

  // Sums of groups do not wait for each other.
  static constexpr int panels_at_once(int) { return 1; }

  // The sums start from 0.
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
      for (int w = 0; w < kWords; ++w) {
        words += kRows;
        __builtin_prefetch(bytes + kPrefetchBytes, 0, 3);
        const Spread weights = spread(bytes);
        bytes += kWordBytes;
#pragma GCC unroll 16
        for (int r = 0; r < kRows; ++r) dots[r] = multiply_words(dots[r], weights, words[r]);
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
