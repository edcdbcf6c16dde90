// Atomic operations of CUDA C++: relaxed, and each returns the old value.
#pragma once

#define FORETOKEN_ATOMICS(Type)               \
  Type atomicAdd(Type* address, Type value);  \
  Type atomicMin(Type* address, Type value);  \
  Type atomicMax(Type* address, Type value);  \
  Type atomicExch(Type* address, Type value); \
  Type atomicCAS(Type* address, Type expected, Type value);

FORETOKEN_ATOMICS(int)
FORETOKEN_ATOMICS(unsigned)
FORETOKEN_ATOMICS(unsigned long long)
#undef FORETOKEN_ATOMICS

#define FORETOKEN_ATOMICS(Type)              \
  Type atomicSub(Type* address, Type value); \
  Type atomicAnd(Type* address, Type value); \
  Type atomicOr(Type* address, Type value);  \
  Type atomicXor(Type* address, Type value);

FORETOKEN_ATOMICS(int)
FORETOKEN_ATOMICS(unsigned)
FORETOKEN_ATOMICS(unsigned long long)
#undef FORETOKEN_ATOMICS

float atomicAdd(float* address, float value);
double atomicAdd(double* address, double value);
float atomicExch(float* address, float value);
long long atomicMin(long long* address, long long value);
long long atomicMax(long long* address, long long value);
unsigned atomicInc(unsigned* address, unsigned highest);
unsigned atomicDec(unsigned* address, unsigned highest);
