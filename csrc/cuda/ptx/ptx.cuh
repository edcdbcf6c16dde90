// Inline PTX for every supported GPU; ptx_hopper.cuh and ptx_wgmma.cuh have the instructions of compute capability 9.0.
// Each wrapper has two bodies: the instruction, and the emulator's version of it. Only these three files may contain
// asm, as scripts/check-native.ts enforces.
#pragma once

#include <cstdint>

#include "csrc/cuda/platform.h"

#ifdef FORETOKEN_EMULATED
#include "csrc/simt/ptx.h"
#endif

namespace foretoken::cuda::ptx {

#ifdef FORETOKEN_EMULATED
using namespace foretoken::simt::ptx;
#else

// --- Conversions, rounding to nearest even ---

FORETOKEN_DEVICE uint16_t bfloat16_of_float(float x) {
  uint16_t bits;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(x));
  return bits;
}

// Two bfloat16 in one register, `low` in the lower half.
FORETOKEN_DEVICE uint32_t bfloat16x2_of_floats(float low, float high) {
  uint32_t bits;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
  return bits;
}

FORETOKEN_DEVICE uint16_t half_of_float(float x) {
  uint16_t bits;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x));
  return bits;
}

FORETOKEN_DEVICE float float_of_half(uint16_t bits) {
  float x;
  asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
  return x;
}

// The products of two pairs of bfloat16.
FORETOKEN_DEVICE uint32_t multiply_bfloat16x2(uint32_t a, uint32_t b) {
  constexpr uint32_t kMinusZeros = 0x80008000;  // adding -0 changes no product, not even 0 or -0
  uint32_t bits;
  asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(bits) : "r"(a), "r"(b), "r"(kMinusZeros));
  return bits;
}

// --- Clock ---

// Nanoseconds of a clock that all multiprocessors share.
FORETOKEN_DEVICE uint64_t global_timer() {
  uint64_t time;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(time)::"memory");
  return time;
}

// --- Shared memory ---

FORETOKEN_DEVICE uint32_t shared_address(const void* pointer) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}

// Loads four 8x8 tiles of 16-bit elements. Lane 8i + r gives the address of row r of tile i; lane l gets elements 2(l %
// 4) and 2(l % 4) + 1 of row l / 4 of each tile.
FORETOKEN_DEVICE void ldmatrix_x4(uint32_t (&tiles)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(tiles[0]), "=r"(tiles[1]), "=r"(tiles[2]), "=r"(tiles[3])
               : "r"(shared_address(row))
               : "memory");
}

// The same for the transposed tiles.
FORETOKEN_DEVICE void ldmatrix_x4_transposed(uint32_t (&tiles)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(tiles[0]), "=r"(tiles[1]), "=r"(tiles[2]), "=r"(tiles[3])
               : "r"(shared_address(row))
               : "memory");
}

FORETOKEN_DEVICE void ldmatrix_x2(uint32_t (&tiles)[2], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];"
               : "=r"(tiles[0]), "=r"(tiles[1])
               : "r"(shared_address(row))
               : "memory");
}

// --- Barriers of some of the block's threads ---

// Arrives at barrier `id`, 1 … 15, and waits until `threads` threads in all have arrived, a multiple of 32. Warps
// arrive as a whole.
FORETOKEN_DEVICE void bar_sync(int id, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

// Arrives without waiting.
FORETOKEN_DEVICE void bar_arrive(int id, int threads) {
  asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

// --- Tensor cores ---

// d[16, 8] += a[16, 16] * b[16, 8], bfloat16 with float32 sums. With g = lane / 4, t = lane % 4: d holds (g, 2t), (g,
// 2t+1), (g+8, 2t), (g+8, 2t+1); a the pairs (g, 2t…), (g+8, 2t…), (g, 2t+8…), (g+8, 2t+8…); b the pairs (2t…, g),
// (2t+8…, g).
FORETOKEN_DEVICE void mma_m16n8k16_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// --- Asynchronous copies from global to shared memory ---

// Copies 16 bytes, bypassing the first-level cache; writes zeros and reads nothing unless `read`.
FORETOKEN_DEVICE void cp_async_16(void* to, const void* from, bool read = true) {
  const int bytes = read ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from), "r"(bytes)
               : "memory");
}

FORETOKEN_DEVICE void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits until all but the newest kGroups of this thread's groups have arrived.
template <int kGroups>
FORETOKEN_DEVICE void cp_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kGroups) : "memory");
}

#endif

}  // namespace foretoken::cuda::ptx
