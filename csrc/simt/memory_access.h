// The checks of an access to memory, in the checked build: that it lies within one allocation or variable of the block,
// that what it reads was written, that no asynchronous copy is writing there, and that it races with no other.
#pragma once

#include <cstddef>
#include <cstdint>

#include "csrc/simt/execution.h"
#include "csrc/simt/shadow.h"

namespace foretoken::simt {

// An access of the current thread; fails where something is wrong with it.
void check_access(const void* address, size_t bytes, uint32_t kind, const void* code);

// The same of one that must be aligned to its size.
void check_aligned_access(const void* address, size_t bytes, uint32_t kind, const void* code);

// The same of a volatile one, by which threads may hand on what they know.
void check_volatile_access(const void* address, size_t bytes, uint32_t kind, const void* code);

// Which of the current thread's fences count for atomic operations on this address.
FenceState::Scope& atomic_scope(const void* address);

// The same of one that another actor makes for a thread. Nothing where accesses are not checked.
void check_access_of(Actor& actor, Thread& thread, const void* address, size_t bytes, uint32_t kind, const void* code);

}  // namespace foretoken::simt
