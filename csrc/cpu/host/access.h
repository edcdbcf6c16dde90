// Tells AddressSanitizer which parts of a block an operation may touch; does nothing in an addon without it.
#pragma once

#include <cstddef>
#include <cstdint>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

namespace foretoken::cpu {

inline void allow_access([[maybe_unused]] void* memory, [[maybe_unused]] int64_t bytes) {
#ifdef __SANITIZE_ADDRESS__
  __asan_unpoison_memory_region(memory, static_cast<size_t>(bytes));
#endif
}

// A report names the line that touches the memory.
inline void forbid_access([[maybe_unused]] void* memory, [[maybe_unused]] int64_t bytes) {
#ifdef __SANITIZE_ADDRESS__
  __asan_poison_memory_region(memory, static_cast<size_t>(bytes));
#endif
}

}  // namespace foretoken::cpu
