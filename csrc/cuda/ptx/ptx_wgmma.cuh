// Inline PTX of compute capability 9.0a: products on the tensor cores by four warps together (wgmma), with operands in
// shared memory. Kernels that use these wrappers compile for every architecture; on others each wrapper is a trap.
// FORETOKEN_WGMMA is 1 where wgmma exists, so that kernels can leave out more code elsewhere.
#pragma once

#include "csrc/cuda/linear/tensor_map.h"
#include "csrc/cuda/ptx/ptx.cuh"

#ifdef FORETOKEN_EMULATED
#include "csrc/simt/ptx_wgmma.h"
#endif

#if defined(FORETOKEN_EMULATED) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define FORETOKEN_WGMMA 1
#else
#define FORETOKEN_WGMMA 0
#endif

namespace foretoken::cuda::ptx {

// --- Operands in shared memory ---

// The contiguous dimension of an operand: k, or the one that the product keeps (m of A, n of B).
enum class Major { kK, kMN };

// Describes the 16 columns (k) of an operand that begin at `start`. All distances are multiples of 16 bytes. A swizzled
// row is `width` bytes long (32, 64 or 128) and has the layout of a tensor map: the rows begin at a multiple of 8 *
// width, and `start` may point into the first row.
//   kK, swizzled:   rows of m or n, `width` bytes of k each; `stride` from 8 rows to the next 8; `leading` is ignored
//   kK, kNone:      8 rows of 8 elements are 128 contiguous bytes; `leading` from 8 columns to the next 8,
//                   `stride` from 8 rows to the next 8
//   kMN, swizzled:  rows of k, `width` bytes of m or n each; `leading` from `width` bytes of m or n to the next,
//                   `stride` from 8 rows to the next 8
//   kMN, kNone:     8 rows of k of 8 elements are 128 contiguous bytes; `leading` from 8 rows of k to the next 8,
//                   `stride` from 8 elements of m or n to the next 8
FORETOKEN_DEVICE uint64_t wgmma_operand(const void* start, Swizzle swizzle, uint32_t leading, uint32_t stride) {
  // 1, 2 and 3 stand for 128, 64 and 32 bytes.
  const uint64_t mode = (4 - static_cast<uint64_t>(swizzle)) % 4;
  return (shared_address(start) & 0x3ffff) >> 4 | static_cast<uint64_t>(leading >> 4) << 16 |
         static_cast<uint64_t>(stride >> 4) << 32 | mode << 62;
}

#ifdef FORETOKEN_EMULATED
using namespace foretoken::simt::ptx;

template <int kN, Major kMajorA = Major::kK, Major kMajorB = Major::kK>
FORETOKEN_DEVICE void wgmma_bf16(float (&d)[kN / 2], uint64_t a, uint64_t b, bool accumulate) {
  static_assert(kN % 8 == 0 && kN >= 8 && kN <= 256);
  simt::issue_wgmma({d, nullptr, a, b, kN, accumulate, kMajorA == Major::kMN, kMajorB == Major::kMN});
}

template <int kN, Major kMajorB = Major::kK>
FORETOKEN_DEVICE void wgmma_bf16(float (&d)[kN / 2], const uint32_t (&a)[4], uint64_t b, bool accumulate) {
  static_assert(kN % 8 == 0 && kN >= 8 && kN <= 256);
  simt::issue_wgmma({d, a, 0, b, kN, accumulate, false, kMajorB == Major::kMN});
}

#else

#if FORETOKEN_WGMMA
#define FORETOKEN_PTX_90A(...) asm volatile(__VA_ARGS__)
#else
#define FORETOKEN_PTX_90A(...) __trap()
#endif

// --- Order ---

// Required before the first product, and whenever other code has changed registers that a product reads or adds to.
template <int kRegisters>
FORETOKEN_DEVICE void wgmma_fence(float (&d)[kRegisters]) {
#pragma unroll
  for (int i = 0; i < kRegisters; ++i) FORETOKEN_PTX_90A("" : "+f"(d[i])::"memory");
  FORETOKEN_PTX_90A("wgmma.fence.sync.aligned;" ::: "memory");
}

// Makes a group of the products since the last call.
FORETOKEN_DEVICE void wgmma_commit() { FORETOKEN_PTX_90A("wgmma.commit_group.sync.aligned;" ::: "memory"); }

// Waits until all but the newest kGroups groups have finished. Only then may their sums be read and their operands be
// overwritten.
template <int kGroups, int kRegisters>
FORETOKEN_DEVICE void wgmma_wait(float (&d)[kRegisters]) {
  FORETOKEN_PTX_90A("wgmma.wait_group.sync.aligned %0;" ::"n"(kGroups) : "memory");
#pragma unroll
  for (int i = 0; i < kRegisters; ++i) FORETOKEN_PTX_90A("" : "+f"(d[i])::"memory");
}

// --- Registers: warps that copy give up registers for those that multiply; multiples of 8 ---

template <int kRegisters>
FORETOKEN_DEVICE void raise_registers() {
  FORETOKEN_PTX_90A("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
template <int kRegisters>
FORETOKEN_DEVICE void lower_registers() {
  FORETOKEN_PTX_90A("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

// --- Products ---

template <int kN>
struct Wgmma;  // the instruction for kN columns, below

// d[64, kN] = a[64, 16] * b[kN, 16]^T, plus d if `accumulate`; bfloat16 with float32 sums. Warp w of the four holds
// rows 16w … 16w + 15 of d; with g = lane / 4, t = lane % 4, d[4i … 4i+3] are (g, 8i + 2t), (g, 8i + 2t+1), (g+8, 8i +
// 2t), (g+8, 8i + 2t+1). Both operands are described by wgmma_operand.
template <int kN, Major kMajorA = Major::kK, Major kMajorB = Major::kK>
FORETOKEN_DEVICE void wgmma_bf16(float (&d)[kN / 2], uint64_t a, uint64_t b, bool accumulate) {
  Wgmma<kN>::template multiply<kMajorA == Major::kMN, kMajorB == Major::kMN>(d, a, b, accumulate);
}

// The same with a in registers: each warp holds its 16 rows in the layout of mma_m16n8k16_bf16.
template <int kN, Major kMajorB = Major::kK>
FORETOKEN_DEVICE void wgmma_bf16(float (&d)[kN / 2], const uint32_t (&a)[4], uint64_t b, bool accumulate) {
  Wgmma<kN>::template multiply<kMajorB == Major::kMN>(d, a, b, accumulate);
}

// The registers of sums as the instruction names them, and as operands: four for every eight columns.

#define FORETOKEN_NAMES_1 "%0, %1, %2, %3"
#define FORETOKEN_NAMES_2 FORETOKEN_NAMES_1 ", %4, %5, %6, %7"
#define FORETOKEN_NAMES_3 FORETOKEN_NAMES_2 ", %8, %9, %10, %11"
#define FORETOKEN_NAMES_4 FORETOKEN_NAMES_3 ", %12, %13, %14, %15"
#define FORETOKEN_NAMES_5 FORETOKEN_NAMES_4 ", %16, %17, %18, %19"
#define FORETOKEN_NAMES_6 FORETOKEN_NAMES_5 ", %20, %21, %22, %23"
#define FORETOKEN_NAMES_7 FORETOKEN_NAMES_6 ", %24, %25, %26, %27"
#define FORETOKEN_NAMES_8 FORETOKEN_NAMES_7 ", %28, %29, %30, %31"
#define FORETOKEN_NAMES_9 FORETOKEN_NAMES_8 ", %32, %33, %34, %35"
#define FORETOKEN_NAMES_10 FORETOKEN_NAMES_9 ", %36, %37, %38, %39"
#define FORETOKEN_NAMES_11 FORETOKEN_NAMES_10 ", %40, %41, %42, %43"
#define FORETOKEN_NAMES_12 FORETOKEN_NAMES_11 ", %44, %45, %46, %47"
#define FORETOKEN_NAMES_13 FORETOKEN_NAMES_12 ", %48, %49, %50, %51"
#define FORETOKEN_NAMES_14 FORETOKEN_NAMES_13 ", %52, %53, %54, %55"
#define FORETOKEN_NAMES_15 FORETOKEN_NAMES_14 ", %56, %57, %58, %59"
#define FORETOKEN_NAMES_16 FORETOKEN_NAMES_15 ", %60, %61, %62, %63"
#define FORETOKEN_NAMES_17 FORETOKEN_NAMES_16 ", %64, %65, %66, %67"
#define FORETOKEN_NAMES_18 FORETOKEN_NAMES_17 ", %68, %69, %70, %71"
#define FORETOKEN_NAMES_19 FORETOKEN_NAMES_18 ", %72, %73, %74, %75"
#define FORETOKEN_NAMES_20 FORETOKEN_NAMES_19 ", %76, %77, %78, %79"
#define FORETOKEN_NAMES_21 FORETOKEN_NAMES_20 ", %80, %81, %82, %83"
#define FORETOKEN_NAMES_22 FORETOKEN_NAMES_21 ", %84, %85, %86, %87"
#define FORETOKEN_NAMES_23 FORETOKEN_NAMES_22 ", %88, %89, %90, %91"
#define FORETOKEN_NAMES_24 FORETOKEN_NAMES_23 ", %92, %93, %94, %95"
#define FORETOKEN_NAMES_25 FORETOKEN_NAMES_24 ", %96, %97, %98, %99"
#define FORETOKEN_NAMES_26 FORETOKEN_NAMES_25 ", %100, %101, %102, %103"
#define FORETOKEN_NAMES_27 FORETOKEN_NAMES_26 ", %104, %105, %106, %107"
#define FORETOKEN_NAMES_28 FORETOKEN_NAMES_27 ", %108, %109, %110, %111"
#define FORETOKEN_NAMES_29 FORETOKEN_NAMES_28 ", %112, %113, %114, %115"
#define FORETOKEN_NAMES_30 FORETOKEN_NAMES_29 ", %116, %117, %118, %119"
#define FORETOKEN_NAMES_31 FORETOKEN_NAMES_30 ", %120, %121, %122, %123"
#define FORETOKEN_NAMES_32 FORETOKEN_NAMES_31 ", %124, %125, %126, %127"
#define FORETOKEN_SUMS(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define FORETOKEN_SUMS_1 FORETOKEN_SUMS(0)
#define FORETOKEN_SUMS_2 FORETOKEN_SUMS_1, FORETOKEN_SUMS(4)
#define FORETOKEN_SUMS_3 FORETOKEN_SUMS_2, FORETOKEN_SUMS(8)
#define FORETOKEN_SUMS_4 FORETOKEN_SUMS_3, FORETOKEN_SUMS(12)
#define FORETOKEN_SUMS_5 FORETOKEN_SUMS_4, FORETOKEN_SUMS(16)
#define FORETOKEN_SUMS_6 FORETOKEN_SUMS_5, FORETOKEN_SUMS(20)
#define FORETOKEN_SUMS_7 FORETOKEN_SUMS_6, FORETOKEN_SUMS(24)
#define FORETOKEN_SUMS_8 FORETOKEN_SUMS_7, FORETOKEN_SUMS(28)
#define FORETOKEN_SUMS_9 FORETOKEN_SUMS_8, FORETOKEN_SUMS(32)
#define FORETOKEN_SUMS_10 FORETOKEN_SUMS_9, FORETOKEN_SUMS(36)
#define FORETOKEN_SUMS_11 FORETOKEN_SUMS_10, FORETOKEN_SUMS(40)
#define FORETOKEN_SUMS_12 FORETOKEN_SUMS_11, FORETOKEN_SUMS(44)
#define FORETOKEN_SUMS_13 FORETOKEN_SUMS_12, FORETOKEN_SUMS(48)
#define FORETOKEN_SUMS_14 FORETOKEN_SUMS_13, FORETOKEN_SUMS(52)
#define FORETOKEN_SUMS_15 FORETOKEN_SUMS_14, FORETOKEN_SUMS(56)
#define FORETOKEN_SUMS_16 FORETOKEN_SUMS_15, FORETOKEN_SUMS(60)
#define FORETOKEN_SUMS_17 FORETOKEN_SUMS_16, FORETOKEN_SUMS(64)
#define FORETOKEN_SUMS_18 FORETOKEN_SUMS_17, FORETOKEN_SUMS(68)
#define FORETOKEN_SUMS_19 FORETOKEN_SUMS_18, FORETOKEN_SUMS(72)
#define FORETOKEN_SUMS_20 FORETOKEN_SUMS_19, FORETOKEN_SUMS(76)
#define FORETOKEN_SUMS_21 FORETOKEN_SUMS_20, FORETOKEN_SUMS(80)
#define FORETOKEN_SUMS_22 FORETOKEN_SUMS_21, FORETOKEN_SUMS(84)
#define FORETOKEN_SUMS_23 FORETOKEN_SUMS_22, FORETOKEN_SUMS(88)
#define FORETOKEN_SUMS_24 FORETOKEN_SUMS_23, FORETOKEN_SUMS(92)
#define FORETOKEN_SUMS_25 FORETOKEN_SUMS_24, FORETOKEN_SUMS(96)
#define FORETOKEN_SUMS_26 FORETOKEN_SUMS_25, FORETOKEN_SUMS(100)
#define FORETOKEN_SUMS_27 FORETOKEN_SUMS_26, FORETOKEN_SUMS(104)
#define FORETOKEN_SUMS_28 FORETOKEN_SUMS_27, FORETOKEN_SUMS(108)
#define FORETOKEN_SUMS_29 FORETOKEN_SUMS_28, FORETOKEN_SUMS(112)
#define FORETOKEN_SUMS_30 FORETOKEN_SUMS_29, FORETOKEN_SUMS(116)
#define FORETOKEN_SUMS_31 FORETOKEN_SUMS_30, FORETOKEN_SUMS(120)
#define FORETOKEN_SUMS_32 FORETOKEN_SUMS_31, FORETOKEN_SUMS(124)

// o0 … o6: the numbers of the operands after the sums.
#define FORETOKEN_WGMMA_OF(columns, eighths, o0, o1, o2, o3, o4, o5, o6)                                               \
  template <>                                                                                                          \
  struct Wgmma<columns> {                                                                                              \
    template <bool kTransposeA, bool kTransposeB>                                                                      \
    FORETOKEN_DEVICE static void multiply(float (&d)[columns / 2], uint64_t a, uint64_t b, int accumulate) {           \
      FORETOKEN_PTX_90A("{ .reg .pred p; setp.ne.b32 p, %" #o2                                                         \
                        ", 0;\n"                                                                                       \
                        "wgmma.mma_async.sync.aligned.m64n" #columns "k16.f32.bf16.bf16 {" FORETOKEN_NAMES_##eighths   \
                        "}, %" #o0 ", %" #o1 ", p, 1, 1, %" #o3 ", %" #o4 "; }"                                        \
                        : FORETOKEN_SUMS_##eighths                                                                     \
                        : "l"(a), "l"(b), "r"(accumulate), "n"(int{kTransposeA}), "n"(int{kTransposeB}));              \
    }                                                                                                                  \
    template <bool kTransposeB>                                                                                        \
    FORETOKEN_DEVICE static void multiply(float (&d)[columns / 2], const uint32_t (&a)[4], uint64_t b,                 \
                                          int accumulate) {                                                            \
      FORETOKEN_PTX_90A("{ .reg .pred p; setp.ne.b32 p, %" #o5                                                         \
                        ", 0;\n"                                                                                       \
                        "wgmma.mma_async.sync.aligned.m64n" #columns "k16.f32.bf16.bf16 {" FORETOKEN_NAMES_##eighths   \
                        "}, {%" #o0 ", %" #o1 ", %" #o2 ", %" #o3 "}, %" #o4 ", p, 1, 1, %" #o6 "; }"                  \
                        : FORETOKEN_SUMS_##eighths                                                                     \
                        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(accumulate), "n"(int{kTransposeB})); \
    }                                                                                                                  \
  };

FORETOKEN_WGMMA_OF(8, 1, 4, 5, 6, 7, 8, 9, 10)
FORETOKEN_WGMMA_OF(16, 2, 8, 9, 10, 11, 12, 13, 14)
FORETOKEN_WGMMA_OF(24, 3, 12, 13, 14, 15, 16, 17, 18)
FORETOKEN_WGMMA_OF(32, 4, 16, 17, 18, 19, 20, 21, 22)
FORETOKEN_WGMMA_OF(40, 5, 20, 21, 22, 23, 24, 25, 26)
FORETOKEN_WGMMA_OF(48, 6, 24, 25, 26, 27, 28, 29, 30)
FORETOKEN_WGMMA_OF(56, 7, 28, 29, 30, 31, 32, 33, 34)
FORETOKEN_WGMMA_OF(64, 8, 32, 33, 34, 35, 36, 37, 38)
FORETOKEN_WGMMA_OF(72, 9, 36, 37, 38, 39, 40, 41, 42)
FORETOKEN_WGMMA_OF(80, 10, 40, 41, 42, 43, 44, 45, 46)
FORETOKEN_WGMMA_OF(88, 11, 44, 45, 46, 47, 48, 49, 50)
FORETOKEN_WGMMA_OF(96, 12, 48, 49, 50, 51, 52, 53, 54)
FORETOKEN_WGMMA_OF(104, 13, 52, 53, 54, 55, 56, 57, 58)
FORETOKEN_WGMMA_OF(112, 14, 56, 57, 58, 59, 60, 61, 62)
FORETOKEN_WGMMA_OF(120, 15, 60, 61, 62, 63, 64, 65, 66)
FORETOKEN_WGMMA_OF(128, 16, 64, 65, 66, 67, 68, 69, 70)
FORETOKEN_WGMMA_OF(136, 17, 68, 69, 70, 71, 72, 73, 74)
FORETOKEN_WGMMA_OF(144, 18, 72, 73, 74, 75, 76, 77, 78)
FORETOKEN_WGMMA_OF(152, 19, 76, 77, 78, 79, 80, 81, 82)
FORETOKEN_WGMMA_OF(160, 20, 80, 81, 82, 83, 84, 85, 86)
FORETOKEN_WGMMA_OF(168, 21, 84, 85, 86, 87, 88, 89, 90)
FORETOKEN_WGMMA_OF(176, 22, 88, 89, 90, 91, 92, 93, 94)
FORETOKEN_WGMMA_OF(184, 23, 92, 93, 94, 95, 96, 97, 98)
FORETOKEN_WGMMA_OF(192, 24, 96, 97, 98, 99, 100, 101, 102)
FORETOKEN_WGMMA_OF(200, 25, 100, 101, 102, 103, 104, 105, 106)
FORETOKEN_WGMMA_OF(208, 26, 104, 105, 106, 107, 108, 109, 110)
FORETOKEN_WGMMA_OF(216, 27, 108, 109, 110, 111, 112, 113, 114)
FORETOKEN_WGMMA_OF(224, 28, 112, 113, 114, 115, 116, 117, 118)
FORETOKEN_WGMMA_OF(232, 29, 116, 117, 118, 119, 120, 121, 122)
FORETOKEN_WGMMA_OF(240, 30, 120, 121, 122, 123, 124, 125, 126)
FORETOKEN_WGMMA_OF(248, 31, 124, 125, 126, 127, 128, 129, 130)
FORETOKEN_WGMMA_OF(256, 32, 128, 129, 130, 131, 132, 133, 134)

#undef FORETOKEN_PTX_90A

#endif

}  // namespace foretoken::cuda::ptx
