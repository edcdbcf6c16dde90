#include "csrc/simt/sanitizer_callbacks.h"

#include "csrc/simt/memory_access.h"

namespace foretoken::simt {

namespace {

bool checked_build = false;

// Whether a kernel whose accesses are checked makes the access. Host code in the same files makes such calls, too.
bool is_kernels() { return current_launch && current_launch->hears_accesses; }

}  // namespace

bool is_checked_build() { return checked_build; }

}  // namespace foretoken::simt

using namespace foretoken::simt;

// Macros, because the return address of the callback itself identifies the code that made the access.
#define FORETOKEN_ACCESS(address, bytes, kind) \
  if (is_kernels()) check_access(address, bytes, kind, __builtin_return_address(0))
#define FORETOKEN_VOLATILE_ACCESS(address, bytes, kind) \
  if (is_kernels()) check_volatile_access(address, bytes, kind, __builtin_return_address(0))

extern "C" {

// Called before all other code of a file that is instrumented.
void __tsan_init() { checked_build = true; }

#define FORETOKEN_CALLBACKS(n)                                                                  \
  void __tsan_read##n(void* at) { FORETOKEN_ACCESS(at, n, kRead); }                             \
  void __tsan_write##n(void* at) { FORETOKEN_ACCESS(at, n, kWrite); }                           \
  void __tsan_unaligned_read##n(void* at) { FORETOKEN_ACCESS(at, n, kRead); }                   \
  void __tsan_unaligned_write##n(void* at) { FORETOKEN_ACCESS(at, n, kWrite); }                 \
  void __tsan_volatile_read##n(void* at) { FORETOKEN_VOLATILE_ACCESS(at, n, kRead); }           \
  void __tsan_volatile_write##n(void* at) { FORETOKEN_VOLATILE_ACCESS(at, n, kWrite); }         \
  void __tsan_unaligned_volatile_read##n(void* at) { FORETOKEN_VOLATILE_ACCESS(at, n, kRead); } \
  void __tsan_unaligned_volatile_write##n(void* at) { FORETOKEN_VOLATILE_ACCESS(at, n, kWrite); }
FORETOKEN_CALLBACKS(1)
FORETOKEN_CALLBACKS(2)
FORETOKEN_CALLBACKS(4)
FORETOKEN_CALLBACKS(8)
FORETOKEN_CALLBACKS(16)
void __tsan_read_range(void* at, unsigned long bytes) { FORETOKEN_ACCESS(at, bytes, kRead); }
void __tsan_write_range(void* at, unsigned long bytes) { FORETOKEN_ACCESS(at, bytes, kWrite); }

void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}

// The compiler's description of a pointer that is null or not aligned as its type requires.
struct PointerMismatch {
  const char* file;
  unsigned line, column;
  const void* type;
  unsigned char log_of_alignment;
  unsigned char what_for;
};

void __ubsan_handle_type_mismatch_v1(PointerMismatch* mismatch, void* pointer) {
  if (is_kernels()) refuse_misaligned(pointer, size_t{1} << mismatch->log_of_alignment, mismatch->file, mismatch->line);
}

}  // extern "C"
