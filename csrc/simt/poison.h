// Poison, the content of memory that no kernel has written: bytes of 0xff, which are NaN in every floating-point type
// and -1 in every integer.
#pragma once

#include <cstddef>

namespace foretoken::simt {

constexpr int kPoison = 0xff;

// Poisons mapped memory. If there are many pages, whole pages occupy no memory until something else is written to them.
void poison(void* memory, size_t bytes);

}  // namespace foretoken::simt
