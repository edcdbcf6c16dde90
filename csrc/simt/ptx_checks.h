// What the emulated instructions check about the addresses that they are given.
#pragma once

#include "csrc/simt/execution.h"
#include "csrc/simt/ptx.h"

namespace foretoken::simt {

// The address as bytes of the block's shared memory; fails, in the name of the thread's operation, where it is not, or
// is not aligned.
unsigned char* checked_shared(const void* address, size_t bytes, size_t alignment);

}  // namespace foretoken::simt
