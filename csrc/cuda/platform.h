// The CUDA runtime, or the emulator in its place (csrc/simt); every file of this folder includes it. The source is the
// same for both. Three things are spelt differently from plain CUDA C++:
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

// FORETOKEN_DEVICE functions must be inlined, because values must stay in registers. FORETOKEN_HOST_DEVICE functions
// exist on both sides.
#define FORETOKEN_DEVICE __device__ __forceinline__
#define FORETOKEN_HOST_DEVICE __host__ __device__ inline
