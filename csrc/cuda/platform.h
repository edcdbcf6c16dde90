// What every file of this folder includes first: the CUDA runtime, or the emulator that stands in for it (csrc/simt).
// One source for both; three things are spelt differently from plain CUDA C++:
//   FORETOKEN_SHARED(float, sums, [32]);     static shared memory: __shared__ float sums[32]
//   FORETOKEN_DYNAMIC_SHARED(memory);        dynamic shared memory: unsigned char memory[], 1024-byte aligned
//   launch(context, …) in context.h          instead of kernel<<<…>>>(…)
#pragma once

#ifdef FORETOKEN_EMULATED
#include "csrc/simt/cuda_runtime.h"
#else
#include <cuda_runtime.h>
#define FORETOKEN_SHARED(Type, name, ...) __shared__ Type name __VA_ARGS__
#define FORETOKEN_DYNAMIC_SHARED(name) extern __shared__ __align__(1024) unsigned char name[]
#endif

// Device functions that must be inlined for what they do to registers, and functions for both sides.
#define FORETOKEN_DEVICE __device__ __forceinline__
#define FORETOKEN_HOST_DEVICE __host__ __device__ inline
