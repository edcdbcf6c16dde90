// The built-in variables of a kernel, and the operations of its threads together: barriers, fences, shuffles, votes.
#pragma once

#include <bit>
#include <cstdint>
#include <type_traits>

#include "csrc/simt/keywords.h"
#include "csrc/simt/vector_types.h"

namespace foretoken::simt {

// Constant to the compiler, because one thread runs a call of a kernel from beginning to end.
__attribute__((const)) uint3 thread_index();
__attribute__((const)) uint3 block_index();
__attribute__((const)) uint3 block_size();
__attribute__((const)) uint3 grid_size();

enum class Shuffle { kIndex, kUp, kDown, kXor };
uint64_t shuffle(unsigned mask, Shuffle kind, uint64_t bits, int operand, int width);

template <typename T>
__forceinline__ T shuffle_value(unsigned mask, Shuffle kind, T value, int operand, int width) {
  static_assert(std::is_arithmetic_v<T> && (sizeof(T) == 4 || sizeof(T) == 8));
  using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
  return std::bit_cast<T>(static_cast<Bits>(shuffle(mask, kind, std::bit_cast<Bits>(value), operand, width)));
}

// blockDim and gridDim, which cannot be macros: they are members of cudaLaunchConfig_t too.
template <uint3 (*kSize)()>
struct SizeVariable {
  struct {
    __forceinline__ operator unsigned() const { return kSize().x; }
  } x;
  struct {
    __forceinline__ operator unsigned() const { return kSize().y; }
  } y;
  struct {
    __forceinline__ operator unsigned() const { return kSize().z; }
  } z;
  __forceinline__ operator dim3() const { return kSize(); }
};

}  // namespace foretoken::simt

#define threadIdx (::foretoken::simt::thread_index())
#define blockIdx (::foretoken::simt::block_index())
constexpr foretoken::simt::SizeVariable<foretoken::simt::block_size> blockDim{};
constexpr foretoken::simt::SizeVariable<foretoken::simt::grid_size> gridDim{};
constexpr int warpSize = 32;

void __syncthreads();
void __syncwarp(unsigned mask = 0xffffffffu);
void __threadfence_block();
void __threadfence();
void __threadfence_system();

unsigned __ballot_sync(unsigned mask, int predicate);
int __any_sync(unsigned mask, int predicate);
int __all_sync(unsigned mask, int predicate);
unsigned __reduce_add_sync(unsigned mask, unsigned value);
unsigned __reduce_min_sync(unsigned mask, unsigned value);
unsigned __reduce_max_sync(unsigned mask, unsigned value);
int __reduce_add_sync(unsigned mask, int value);
int __reduce_min_sync(unsigned mask, int value);
int __reduce_max_sync(unsigned mask, int value);
unsigned __reduce_and_sync(unsigned mask, unsigned value);
unsigned __reduce_or_sync(unsigned mask, unsigned value);
unsigned __reduce_xor_sync(unsigned mask, unsigned value);

template <typename T>
__forceinline__ T __shfl_sync(unsigned mask, T value, int lane, int width = 32) {
  return foretoken::simt::shuffle_value(mask, foretoken::simt::Shuffle::kIndex, value, lane, width);
}
template <typename T>
__forceinline__ T __shfl_up_sync(unsigned mask, T value, unsigned distance, int width = 32) {
  return foretoken::simt::shuffle_value(mask, foretoken::simt::Shuffle::kUp, value, static_cast<int>(distance), width);
}
template <typename T>
__forceinline__ T __shfl_down_sync(unsigned mask, T value, unsigned distance, int width = 32) {
  return foretoken::simt::shuffle_value(mask, foretoken::simt::Shuffle::kDown, value, static_cast<int>(distance),
                                        width);
}
template <typename T>
__forceinline__ T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32) {
  return foretoken::simt::shuffle_value(mask, foretoken::simt::Shuffle::kXor, value, lanes, width);
}

void __nanosleep(unsigned nanoseconds);
[[noreturn]] void __trap();
long long clock64();
