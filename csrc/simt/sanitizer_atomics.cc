// Implements the calls into which instrumented code turns the atomic operations of C++. Host code in the files of
// kernels makes these calls; kernels use CUDA's atomic operations instead.

#define FORETOKEN_ATOMIC(bits, Type, name)                                \
  Type __tsan_atomic##bits##_##name(volatile Type* at, Type value, int) { \
    return __atomic_##name(at, value, __ATOMIC_SEQ_CST);                  \
  }
#define FORETOKEN_COMPARE_EXCHANGE(bits, Type, name, is_weak)                                                  \
  int __tsan_atomic##bits##_compare_exchange_##name(volatile Type* at, Type* expected, Type value, int, int) { \
    return __atomic_compare_exchange_n(at, expected, value, is_weak, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);      \
  }
#define FORETOKEN_ATOMICS(bits, Type)                                                                             \
  Type __tsan_atomic##bits##_load(const volatile Type* at, int) { return __atomic_load_n(at, __ATOMIC_SEQ_CST); } \
  void __tsan_atomic##bits##_store(volatile Type* at, Type value, int) {                                          \
    __atomic_store_n(at, value, __ATOMIC_SEQ_CST);                                                                \
  }                                                                                                               \
  Type __tsan_atomic##bits##_exchange(volatile Type* at, Type value, int) {                                       \
    return __atomic_exchange_n(at, value, __ATOMIC_SEQ_CST);                                                      \
  }                                                                                                               \
  FORETOKEN_ATOMIC(bits, Type, fetch_add)                                                                         \
  FORETOKEN_ATOMIC(bits, Type, fetch_sub)                                                                         \
  FORETOKEN_ATOMIC(bits, Type, fetch_and)                                                                         \
  FORETOKEN_ATOMIC(bits, Type, fetch_or)                                                                          \
  FORETOKEN_ATOMIC(bits, Type, fetch_xor)                                                                         \
  FORETOKEN_COMPARE_EXCHANGE(bits, Type, strong, false)                                                           \
  FORETOKEN_COMPARE_EXCHANGE(bits, Type, weak, true)

extern "C" {

FORETOKEN_ATOMICS(8, unsigned char)
FORETOKEN_ATOMICS(16, unsigned short)
FORETOKEN_ATOMICS(32, unsigned)
FORETOKEN_ATOMICS(64, unsigned long)

void __tsan_atomic_thread_fence(int) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
void __tsan_atomic_signal_fence(int) {}

}  // extern "C"
