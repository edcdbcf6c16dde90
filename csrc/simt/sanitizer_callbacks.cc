#include "csrc/simt/sanitizer_callbacks.h"

#include "csrc/simt/memory_access.h"

namespace foretoken::simt {

namespace {

bool checked_build = false;

// Whether the access is one of a kernel that is checked.
bool is_kernels() { return current_launch && current_launch->checker; }

}  // namespace

bool is_checked_build() { return checked_build; }

}  // namespace foretoken::simt

// Instrumented code calls this when it is loaded, before anything else.
extern "C" void __tsan_init() { foretoken::simt::checked_build = true; }

using namespace foretoken::simt;

// In the callbacks' own frames: the code that made the access is the one they return to.
#define any(address, bytes, kind) \
  if (is_kernels()) check_access(address, bytes, kind, __builtin_return_address(0))
#define aligned(address, bytes, kind) \
  if (is_kernels()) check_aligned_access(address, bytes, kind, __builtin_return_address(0))
#define is_volatile(address, bytes, kind) \
  if (is_kernels()) check_volatile_access(address, bytes, kind, __builtin_return_address(0))

extern "C" {
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}

#define FORETOKEN_ACCESSES(bytes)                                                           \
  void __tsan_read##bytes(void* address) { aligned(address, bytes, kRead); }                \
  void __tsan_write##bytes(void* address) { aligned(address, bytes, kWrite); }              \
  void __tsan_unaligned_read##bytes(void* address) { any(address, bytes, kRead); }          \
  void __tsan_unaligned_write##bytes(void* address) { any(address, bytes, kWrite); }        \
  void __tsan_volatile_read##bytes(void* address) { is_volatile(address, bytes, kRead); }   \
  void __tsan_volatile_write##bytes(void* address) { is_volatile(address, bytes, kWrite); } \
  void __tsan_unaligned_volatile_read##bytes(void* address) { any(address, bytes, kRead); } \
  void __tsan_unaligned_volatile_write##bytes(void* address) { any(address, bytes, kWrite); }
FORETOKEN_ACCESSES(1)
FORETOKEN_ACCESSES(2)
FORETOKEN_ACCESSES(4)
FORETOKEN_ACCESSES(8)
FORETOKEN_ACCESSES(16)
#undef FORETOKEN_ACCESSES
void __tsan_read_range(void* address, unsigned long bytes) { any(address, bytes, kRead); }
void __tsan_write_range(void* address, unsigned long bytes) { any(address, bytes, kWrite); }

// Atomics of the C++ library, in host code; kernels have their own.
#define FORETOKEN_ATOMICS(bits, Type)                                                                                 \
  Type __tsan_atomic##bits##_load(const volatile Type* a, int order) { return __atomic_load_n(a, __ATOMIC_SEQ_CST); } \
  void __tsan_atomic##bits##_store(volatile Type* a, Type v, int) { __atomic_store_n(a, v, __ATOMIC_SEQ_CST); }       \
  Type __tsan_atomic##bits##_exchange(volatile Type* a, Type v, int) {                                                \
    return __atomic_exchange_n(a, v, __ATOMIC_SEQ_CST);                                                               \
  }                                                                                                                   \
  Type __tsan_atomic##bits##_fetch_add(volatile Type* a, Type v, int) {                                               \
    return __atomic_fetch_add(a, v, __ATOMIC_SEQ_CST);                                                                \
  }                                                                                                                   \
  Type __tsan_atomic##bits##_fetch_sub(volatile Type* a, Type v, int) {                                               \
    return __atomic_fetch_sub(a, v, __ATOMIC_SEQ_CST);                                                                \
  }                                                                                                                   \
  Type __tsan_atomic##bits##_fetch_and(volatile Type* a, Type v, int) {                                               \
    return __atomic_fetch_and(a, v, __ATOMIC_SEQ_CST);                                                                \
  }                                                                                                                   \
  Type __tsan_atomic##bits##_fetch_or(volatile Type* a, Type v, int) {                                                \
    return __atomic_fetch_or(a, v, __ATOMIC_SEQ_CST);                                                                 \
  }                                                                                                                   \
  Type __tsan_atomic##bits##_fetch_xor(volatile Type* a, Type v, int) {                                               \
    return __atomic_fetch_xor(a, v, __ATOMIC_SEQ_CST);                                                                \
  }                                                                                                                   \
  int __tsan_atomic##bits##_compare_exchange_strong(volatile Type* a, Type* expected, Type v, int, int) {             \
    return __atomic_compare_exchange_n(a, expected, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);                    \
  }                                                                                                                   \
  int __tsan_atomic##bits##_compare_exchange_weak(volatile Type* a, Type* expected, Type v, int, int) {               \
    return __atomic_compare_exchange_n(a, expected, v, true, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);                     \
  }
FORETOKEN_ATOMICS(8, unsigned char)
FORETOKEN_ATOMICS(16, unsigned short)
FORETOKEN_ATOMICS(32, unsigned)
FORETOKEN_ATOMICS(64, unsigned long long)
#undef FORETOKEN_ATOMICS
void __tsan_atomic_thread_fence(int) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
void __tsan_atomic_signal_fence(int) {}
}
