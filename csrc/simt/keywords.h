// The keywords of CUDA C++.
#pragma once

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __grid_constant__
#define __launch_bounds__(...)
#define __forceinline__ inline __attribute__((always_inline))
#define __align__(bytes) __attribute__((aligned(bytes)))
// Rejects __shared__, because each thread would silently get a variable of its own.
#define __shared__ static_assert(false, "shared memory is declared by FORETOKEN_SHARED or FORETOKEN_DYNAMIC_SHARED");
