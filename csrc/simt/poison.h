// Memory that holds what no kernel wrote: bytes of 0xff, which are not a number in every type of float, and -1 in every
// integer.
#pragma once

#include <cstddef>

namespace foretoken::simt {

constexpr int kPoison = 0xff;

// Poisons mapped memory. Whole pages of it take no room until something else is written there, where there are many.
void poison(void* memory, size_t bytes);

}  // namespace foretoken::simt
