// dim3, and the small vectors of CUDA C++: float2, uint4, make_float2(…) and so on.
#pragma once

struct uint3 {
  unsigned x, y, z;
};

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
  constexpr dim3(uint3 size) : x(size.x), y(size.y), z(size.z) {}
  constexpr operator uint3() const { return {x, y, z}; }
};

// Vectors of 2 and 4 elements are aligned to their size, up to 16 bytes, as they are on the GPU.
#define FORETOKEN_VECTORS(Type, Name)                                     \
  struct alignas(2 * sizeof(Type)) Name##2 {                              \
    Type x, y;                                                            \
  };                                                                      \
  struct alignas(4 * sizeof(Type) < 16 ? 4 * sizeof(Type) : 16) Name##4 { \
    Type x, y, z, w;                                                      \
  };                                                                      \
  constexpr Name##2 make_##Name##2(Type x, Type y) { return {x, y}; }     \
  constexpr Name##4 make_##Name##4(Type x, Type y, Type z, Type w) { return {x, y, z, w}; }

FORETOKEN_VECTORS(signed char, char)
FORETOKEN_VECTORS(unsigned char, uchar)
FORETOKEN_VECTORS(short, short)
FORETOKEN_VECTORS(unsigned short, ushort)
FORETOKEN_VECTORS(int, int)
FORETOKEN_VECTORS(unsigned, uint)
FORETOKEN_VECTORS(long long, longlong)
FORETOKEN_VECTORS(unsigned long long, ulonglong)
FORETOKEN_VECTORS(float, float)
FORETOKEN_VECTORS(double, double)
#undef FORETOKEN_VECTORS

struct int3 {
  int x, y, z;
};
struct float3 {
  float x, y, z;
};
constexpr uint3 make_uint3(unsigned x, unsigned y, unsigned z) { return {x, y, z}; }
constexpr int3 make_int3(int x, int y, int z) { return {x, y, z}; }
constexpr float3 make_float3(float x, float y, float z) { return {x, y, z}; }
