// Words of bfloat16: pairs of numbers that follow one another along k. Both operands are rounded to bfloat16, whose
// products float32 holds exactly; a lane's sum takes the second product of a pair and then the first, each with one
// rounding where the level has multiply-adds. That is what VDPBF16PS does, so levels with and without it give the same
// bits. It takes denormal numbers for zeros, and so does rounding here.
#pragma once

#include "csrc/cpu/linear/gemm.h"
#include "csrc/cpu/simd.h"
#include "csrc/cpu/sizes.h"

namespace foretoken::cpu::FORETOKEN_ISA {

struct BFloat16Words {
  static int64_t pairs_of(int64_t k) { return divide_up(k, 2); }

  // A panel: [pairs][kLanes][2].
  static BFloat16* at(const void* panel, int64_t pair, int64_t lane) {
    return static_cast<BFloat16*>(const_cast<void*>(panel)) + (pair * kLanes + lane) * 2;
  }
  static constexpr int64_t kWordBytes = 4 * kLanes;
  static int64_t panel_bytes(int64_t k) { return round_up(pairs_of(k) * kWordBytes, 64); }

  // x rounded to nearest, and to zero where it is denormal; to[i] for i < kLanes.
  static void round(Vec x, BFloat16* to) { store(to, abs(x) < 0x1p-126f ? Vec{} : x); }

  // [k] as [pairs][2], in pieces of kLanes; f(first pair of the piece, pairs, the numbers of those).
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

  static void clear_column(int64_t k, void* panel, int64_t lane) {
    for (int64_t pair = 0; pair < pairs_of(k); ++pair) __builtin_memset(at(panel, pair, lane), 0, 4);
  }

  static void unpack_column(const void* panel, int64_t k, int64_t lane, float* out) {
    for (int64_t p = 0; p < k; ++p) out[p] = to_float(at(panel, p / 2, lane)[p % 2]);
  }

  // A tile of rows: [pairs][rows] of what multiply_pair() reads.
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

  static int64_t row_bytes(int64_t k) { return pairs_of(k) * static_cast<int64_t>(sizeof(Pair)); }

  static void pack_row(const float* x, int64_t k, int rows, int r, char* tile) {
    auto* const out = reinterpret_cast<Pair*>(tile) + r;
    each_piece(x, k, [&](int64_t first, int64_t pairs, const BFloat16* rounded) {
      for (int64_t i = 0; i < pairs; ++i) out[(first + i) * rows] = pair_of(rounded + 2 * i);
    });
  }

  // A sum waits for itself twice a pair, so few rows take several panels.
  static constexpr int panels_at_once(int rows) { return rows == 1 ? 4 : rows * 2 <= kTileRows ? 2 : 1; }

  // The sums start from 0.
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
      bytes += kWordBytes;
      x += kRows;
    }
  }
};

}  // namespace foretoken::cpu::FORETOKEN_ISA
