// Declares the emulated bodies of the wrappers in csrc/cuda/ptx/ptx.cuh, under the same names. The comments there say
// what each does to registers.
#pragma once

#include <cstddef>
#include <cstdint>

#include "csrc/simt/keywords.h"

namespace foretoken::simt::ptx {

// --- conversions ---

uint16_t bfloat16_of_float(float x);
uint32_t bfloat16x2_of_floats(float low, float high);
uint32_t multiply_bfloat16x2(uint32_t a, uint32_t b);
uint16_t half_of_float(float x);
float float_of_half(uint16_t bits);

// --- clock ---

uint64_t global_timer();

// --- shared memory ---

uint32_t shared_address(const void* pointer);
void ldmatrix_x4(uint32_t (&tiles)[4], const void* row);
void ldmatrix_x4_transposed(uint32_t (&tiles)[4], const void* row);
void ldmatrix_x2(uint32_t (&tiles)[2], const void* row);

// --- barriers of some of the block's threads ---

void bar_sync(int id, int threads);
void bar_arrive(int id, int threads);

// --- tensor cores ---

void mma_m16n8k16_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]);

// --- asynchronous copies, global to shared ---

void cp_async_16(void* to, const void* from, bool read = true);
void cp_async_commit();
void cp_async_wait_groups(int groups);
template <int kGroups>
__forceinline__ void cp_async_wait() {
  cp_async_wait_groups(kGroups);
}

}  // namespace foretoken::simt::ptx
