// The dot format in bfloat16: pairs of consecutive elements along k. Both operands are rounded to bfloat16, whose
// products are exact in float32. A lane's sum adds the second product of a pair and then the first, each with one
// rounding if the level has multiply-adds. VDPBF16PS does the same, so levels with and without it give the same bits.
// It treats denormal numbers as zeros, and so does round().
#pragma once

#include "csrc/cpu/linear/gemm.h"
#include "csrc/cpu/simd.h"
#include "csrc/cpu/sizes.h"

namespace foretoken::cpu::FORETOKEN_ISA {

struct DotBFloat16 {
  static int64_t pairs_of(int64_t k) { return divide_up(k, 2); }

  // Address of a pair in a panel [pairs][kLanes][2].
  static BFloat16* at(const void* panel, int64_t pair, int64_t lane) {
    return static_cast<BFloat16*>(const_cast<void*>(panel)) + (pair * kLanes + lane) * 2;
  }
  static constexpr int64_t kPairBytes = 4 * kLanes;  // one pair for every lane
  static int64_t panel_bytes(int64_t k) { return cache_lines(pairs_of(k) * kPairBytes); }

  // to[i] = x[i], rounded to nearest, or 0 if x[i] is denormal, for i < kLanes
  static void round(Vec x, BFloat16* to) { store(to, abs(x) < 0x1p-126f ? Vec{} : x); }

  // Rounds [k] to [pairs][2] in pieces of kLanes: calls f(first pair of the piece, number of pairs, their elements).
  template <typename T, typename F>
  static void each_piece(const T* x, int64_t k, F f) {
    for (int64_t p = 0; p < k; p += kLanes) {
      const int count = static_cast<int>(smaller(kLanes, k - p));
      BFloat16 rounded[kLanes];
      round(load_n(x + p, count), rounded);
      f(p / 2, divide_up(count, 2), rounded);
    }
  }

  template <typename T>
  static void pack_column(const T* weights, int64_t k, void* panel, int64_t lane) {
    each_piece(weights, k, [&](int64_t first, int64_t pairs, const BFloat16* rounded) {
      for (int64_t i = 0; i < pairs; ++i) __builtin_memcpy(at(panel, first + i, lane), rounded + 2 * i, 4);
    });
  }

  // Fills a column behind the last one.
  static void clear_column(int64_t k, void* panel, int64_t lane) {
    for (int64_t pair = 0; pair < pairs_of(k); ++pair) __builtin_memset(at(panel, pair, lane), 0, 4);
  }

  static void unpack_column(const void* panel, int64_t k, int64_t lane, float* out) {
    for (int64_t p = 0; p < k; ++p) out[p] = to_float(at(panel, p / 2, lane)[p % 2]);
  }

  // A tile of rows is [pairs][rows] of Pair, the operand of multiply_pair().
#if defined(__AVX512BF16__)
  using Pair = int32_t;
  static Pair pair_of(const BFloat16* numbers) {
    Pair pair;
    __builtin_memcpy(&pair, numbers, sizeof pair);
    return pair;
  }
  using Weights = IVec;
  static Weights load_weights(const void* bytes) { return load_bits<IVec>(bytes); }
  static Vec multiply_pair(Vec sum, Weights weights, Pair x) {
    return (Vec)_mm512_dpbf16_ps((__m512)sum, (__m512bh)weights, (__m512bh)_mm512_set1_epi32(x));
  }
#else
  struct Pair {
    float first, second;
  };
  static Pair pair_of(const BFloat16* numbers) { return {to_float(numbers[0]), to_float(numbers[1])}; }
  struct Weights {
    Vec first, second;
  };
  static Weights load_weights(const void* bytes) {
    const IVec pairs = load_bits<IVec>(bytes);
    return {as_float(pairs << 16), as_float(pairs & static_cast<int32_t>(0xffff0000))};
  }
  static Vec multiply_pair(Vec sum, const Weights& weights, const Pair& x) {
    return fma(broadcast(x.first), weights.first, fma(broadcast(x.second), weights.second, sum));
  }
#endif

  static int64_t row_bytes(int64_t k) { return bytes_of<Pair>(pairs_of(k)); }

  static void pack_row(const float* x, int64_t k, int rows, int r, char* tile) {
    auto* const out = reinterpret_cast<Pair*>(tile) + r;
    each_piece(x, k, [&](int64_t first, int64_t pairs, const BFloat16* rounded) {
      for (int64_t i = 0; i < pairs; ++i) out[(first + i) * rows] = pair_of(rounded + 2 * i);
    });
  }

  // A sum waits for its previous value twice per pair, so few rows take several panels at once.
  static constexpr int panels_at_once(int rows) { return rows == 1 ? 4 : rows * 2 <= kTileRows ? 2 : 1; }

  // Adds the products to sums, which the caller sets to 0.
  template <int kPanels, int kRows>
  static inline void multiply(int64_t k, const char* rows, const void* panels, Vec (&sums)[kPanels][kRows]) {
    const auto* x = reinterpret_cast<const Pair*>(rows);
    const auto* bytes = static_cast<const char*>(panels);
    const int64_t stride = panel_bytes(k);
    for (int64_t pair = 0; pair < pairs_of(k); ++pair) {
#pragma GCC unroll 4
      for (int p = 0; p < kPanels; ++p) {
        __builtin_prefetch(bytes + p * stride + kPrefetchBytes / kPanels, 0, 3);
        const Weights weights = load_weights(bytes + p * stride);
#pragma GCC unroll 16
        for (int r = 0; r < kRows; ++r) sums[p][r] = multiply_pair(sums[p][r], weights, x[r]);
      }
      bytes += kPairBytes;
      x += kRows;
    }
  }
};

}  // namespace foretoken::cpu::FORETOKEN_ISA
