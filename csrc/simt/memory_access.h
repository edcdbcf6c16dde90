// Checks accesses to memory in the checked build: an access must lie within one allocation or one variable of the
// block, read only what was written, and race with neither other accesses nor an asynchronous copy.
#pragma once

#include <cstddef>
#include <cstdint>

#include "csrc/simt/launch.h"
#include "csrc/simt/shadow.h"

namespace foretoken::simt {

// Checks and records an access of the current thread; fails if the access is wrong.
void check_access(const void* address, size_t bytes, uint32_t kind, const void* code);

// Fails because the current thread uses a pointer that is not aligned as its type requires.
[[noreturn]] void refuse_misaligned(const void* address, size_t alignment, const char* file, unsigned line);

// As check_access, for a volatile access, by which threads may pass on what they know.
void check_volatile_access(const void* address, size_t bytes, uint32_t kind, const void* code);

// Returns the state of the current thread's fences that counts for atomic operations on this address.
FenceState::Scope& atomic_scope(const void* address);

// As check_access, for an access that another actor makes for a thread. Does nothing if accesses are not checked.
void check_access_of(Actor& actor, Thread& thread, const void* address, size_t bytes, uint32_t kind, const void* code);

}  // namespace foretoken::simt
