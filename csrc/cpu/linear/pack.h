// Copies strips of a matrix in the order in which the inner loop of the GEMM reads them.
#pragma once

#include "csrc/core/dtype.h"
#include "csrc/cpu/simd.h"

namespace foretoken::cpu::FORETOKEN_ISA {

// Calls f with `data` as a pointer to its element type.
template <typename F>
inline void with_type(const void* data, DType dtype, F f) {
  switch (dtype) {
    case DType::kBFloat16: return f(static_cast<const BFloat16*>(data));
    case DType::kFloat16: return f(static_cast<const Float16*>(data));
    default: return f(static_cast<const float*>(data));
  }
}

template <typename F>
inline void with_type(void* data, DType dtype, F f) {
  switch (dtype) {
    case DType::kBFloat16: return f(static_cast<BFloat16*>(data));
    case DType::kFloat16: return f(static_cast<Float16*>(data));
    default: return f(static_cast<float*>(data));
  }
}

// One stage of a transposition: swaps the off-diagonal quarters of every 2*kSize × 2*kSize block.
template <int kSize>
inline void transpose_stage(Vec* rows) {
  IVec low, high;
  for (int i = 0; i < kLanes; ++i) {
    low[i] = i & kSize ? kLanes + i - kSize : i;
    high[i] = i & kSize ? kLanes + i : i + kSize;
  }
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) {
    if (i & kSize) continue;
    const Vec a = rows[i], b = rows[i + kSize];
    rows[i] = __builtin_shuffle(a, b, low);
    rows[i + kSize] = __builtin_shuffle(a, b, high);
  }
}

inline void transpose(Vec (&rows)[kLanes]) {
  transpose_stage<1>(rows);
  transpose_stage<2>(rows);
  if constexpr (kLanes > 4) transpose_stage<4>(rows);
  if constexpr (kLanes > 8) transpose_stage<8>(rows);
}

// out[p * out_stride + i] = in[i * stride + p * k_stride] for p < k and i < count, and 0 for count ≤ i < kLanes. Writes
// all kLanes, so memory behind a narrower strip must be written later or be slack.
template <typename In, typename Out>
inline void pack_strip(const In* in, int64_t stride, int64_t k_stride, int count, int64_t k, Out* out,
                       int64_t out_stride) {
  if (k_stride != 1) {  // then stride is 1
    if (count == kLanes) {
      for (int64_t p = 0; p < k; ++p) store(out + p * out_stride, load(in + p * k_stride));
    } else {
      for (int64_t p = 0; p < k; ++p) store(out + p * out_stride, load_n(in + p * k_stride, count));
    }
    return;
  }
  for (int64_t p = 0; p < k; p += kLanes) {
    const int depth = lanes_of(k - p);
    Vec rows[kLanes];
    if (count == kLanes && depth == kLanes) {
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i) rows[i] = load(in + i * stride + p);
    } else {
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i) rows[i] = i < count ? load_n(in + i * stride + p, depth) : Vec{};
    }
    transpose(rows);
    if (depth == kLanes) {
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i) store(out + (p + i) * out_stride, rows[i]);
    } else {
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i) {
        if (i < depth) store(out + (p + i) * out_stride, rows[i]);
      }
    }
  }
}

}  // namespace foretoken::cpu::FORETOKEN_ISA
