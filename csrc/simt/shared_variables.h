// The macros by which kernels declare shared memory.
#pragma once

#include <cstddef>

namespace foretoken::simt {

// Returns the block's variable of the declaration that `key` identifies; the first thread that calls makes it.
void* shared_variable(const void* key, const char* name, size_t bytes, size_t alignment);
void* dynamic_shared_memory();

}  // namespace foretoken::simt

// FORETOKEN_SHARED(float, sums, [32]) declares float sums[32], shared by the block.
#define FORETOKEN_SHARED(Type, name, ...)                                                          \
  typedef Type name##_shared_type __VA_ARGS__;                                                     \
  static constexpr char name##_shared_key = 0;                                                     \
  name##_shared_type& name = *static_cast<name##_shared_type*>(::foretoken::simt::shared_variable( \
      &name##_shared_key, #name, sizeof(name##_shared_type), alignof(name##_shared_type)))

#define FORETOKEN_DYNAMIC_SHARED(name) \
  unsigned char* const name = static_cast<unsigned char*>(::foretoken::simt::dynamic_shared_memory())
