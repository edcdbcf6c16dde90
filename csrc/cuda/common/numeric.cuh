// Element types: 16-bit floats as their bits, conversions, vectors of elements, and the choice of a type at run time.
#pragma once

#include <cstdint>
#include <type_traits>

#include "csrc/core/dtype.h"
#include "csrc/core/error.h"
#include "csrc/cuda/ptx/ptx.cuh"

namespace foretoken::cuda {

struct BFloat16 {
  uint16_t bits;
};
struct Float16 {
  uint16_t bits;
};

FORETOKEN_DEVICE float to_float(float x) { return x; }
FORETOKEN_DEVICE float to_float(BFloat16 x) { return __uint_as_float(static_cast<uint32_t>(x.bits) << 16); }
FORETOKEN_DEVICE float to_float(Float16 x) { return ptx::float_of_half(x.bits); }

// Rounds to nearest even.
template <typename T>
FORETOKEN_DEVICE T from_float(float x);
template <>
FORETOKEN_DEVICE float from_float<float>(float x) {
  return x;
}
template <>
FORETOKEN_DEVICE BFloat16 from_float<BFloat16>(float x) {
  return {ptx::bfloat16_of_float(x)};
}
template <>
FORETOKEN_DEVICE Float16 from_float<Float16>(float x) {
  return {ptx::half_of_float(x)};
}

// N elements that are read and written at once; the address must be a multiple of the size.
template <typename T, int N>
struct alignas(sizeof(T) * N) Vector {
  T elements[N];
};

template <int N, typename T>
FORETOKEN_DEVICE void load(const T* from, float (&values)[N]) {
  const auto vector = *reinterpret_cast<const Vector<T, N>*>(from);
#pragma unroll
  for (int i = 0; i < N; ++i) values[i] = to_float(vector.elements[i]);
}

// Pairs of bfloat16 are written as words: the compiler splits a vector of two uint16_t into two accesses.
template <int N, typename T>
FORETOKEN_DEVICE void store(T* to, const float (&values)[N]) {
  if constexpr (std::is_same_v<T, BFloat16> && N % 2 == 0) {
    using Words = Vector<uint32_t, N / 2>;
    Words words;
#pragma unroll
    for (int i = 0; i < N / 2; ++i) words.elements[i] = ptx::bfloat16x2_of_floats(values[2 * i], values[2 * i + 1]);
    *reinterpret_cast<Words*>(to) = words;
  } else {
    Vector<T, N> vector;
#pragma unroll
    for (int i = 0; i < N; ++i) vector.elements[i] = from_float<T>(values[i]);
    *reinterpret_cast<Vector<T, N>*>(to) = vector;
  }
}

// Calls f(T{}) for the element type of `dtype`: with_activations for the types of activations, with_floats for all types.
template <typename F>
void with_activations(DType dtype, F&& f) {
  if (dtype == DType::kBFloat16) f(BFloat16{});
  else f(float{});
}

template <typename F>
void with_floats(DType dtype, F&& f) {
  if (dtype == DType::kFloat16) f(Float16{});
  else with_activations(dtype, f);
}

}  // namespace foretoken::cuda
