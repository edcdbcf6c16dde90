// Checks the addresses that emulated instructions are given.
#pragma once

#include "csrc/simt/launch.h"
#include "csrc/simt/ptx.h"

namespace foretoken::simt {

// Returns the address as bytes of the block's shared memory. Fails in the name of the thread's operation if the address
// is elsewhere, or not aligned.
unsigned char* checked_shared(const void* address, size_t bytes, size_t alignment);

}  // namespace foretoken::simt
