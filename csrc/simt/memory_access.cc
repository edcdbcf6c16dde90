#include "csrc/simt/memory_access.h"

#include <algorithm>
#include <cstdio>

#include "csrc/simt/device_memory.h"
#include "csrc/simt/library_image.h"
#include "csrc/simt/race_checker.h"
#include "csrc/simt/report.h"
#include "csrc/simt/scheduler.h"
#include "csrc/simt/source_lines.h"

namespace foretoken::simt {

namespace {

struct Checked {
  Actor& actor;
  Thread& thread;
  const void* address;
  size_t bytes;
  uint32_t kind;
  const void* code;

  std::string who() const {
    const RaceChecker& checker = *current_launch->checker;
    return checker.name_of_actor(checker.wave(), actor.index) + " " + verb_of(kind) + " at " + source_line(code);
  }

  [[noreturn]] void refuse(const std::string& problem, const std::string& where) const {
    current_launch->hears_accesses = false;
    fail(problem + ": " + where + "\n  " + who());
  }

  [[noreturn]] void refuse_race(const AccessRecord& other, const std::string& where) const {
    current_launch->hears_accesses = false;
    const bool lacks_fence = kind & kAsync && other.kind() & kWrite && !(other.kind() & kAsync);
    const char* const advice =
        lacks_fence ? ". Memory that copy engines and tensor cores read requires fence_proxy_async() before the barrier"
                    : "";
    fail("race on " + where + "\n  " + who() + "\n  " + current_launch->checker->describe(other) +
         "\n  nothing orders the two" + advice);
  }

  // Returns how many bytes of the access, which begins at byte `first`, are at `at` or behind it in the same granule.
  size_t bytes_of_granule(size_t first, size_t at) const {
    return std::min(first + bytes, (at / Granule::kBytes + 1) * Granule::kBytes) - at;
  }

  bool reads() const { return !(kind & kWrite); }

  void check_shared(Block& block) const {
    SharedMemory& shared = block.shared;
    const uint32_t offset = shared.offset(address);
    if (!shared.is_allocated(offset, bytes)) refuse("out of bounds", shared.describe(offset, bytes));
    if (shared.is_in_flight(offset, bytes)) {
      const AccessRecord* const copy = current_launch->checker->last_write(shared.granules(), offset);
      refuse("access to memory that an asynchronous copy is writing until a thread waits for it",
             shared.describe(offset, bytes) + (copy ? "\n  " + current_launch->checker->describe(*copy) : ""));
    }
    if (reads() && !shared.is_written(offset, bytes)) {
      refuse("read of memory that was never written", shared.describe(offset, bytes));
    }
    if (const auto conflict =
            current_launch->checker->record(shared.granules(), offset, bytes, {&actor, kind, code}, true)) {
      const auto at = static_cast<uint32_t>(conflict->at);
      refuse_race(*conflict->other, shared.describe(at, bytes_of_granule(offset, at)));
    }
    if (kind & kWrite) shared.mark_written(offset, bytes);
  }

  void check_global() const {
    const Allocation* const allocation = find_allocation(address);
    if (!allocation || !allocation->holds(address, bytes))
      refuse("out of bounds", describe_device_memory(address, bytes));
    if (reads() && allocation->kind == MemoryKind::kDevice && !is_written(address, bytes)) {
      refuse("read of memory that was never written", describe_device_memory(address, bytes));
    }
    const GlobalShadow shadow = shadow_of(address);
    if (const auto conflict =
            current_launch->checker->record(shadow.granules, shadow.byte, bytes, {&actor, kind, code}, false)) {
      const auto* const at = static_cast<const unsigned char*>(address) + (conflict->at - shadow.byte);
      refuse_race(*conflict->other, describe_device_memory(at, bytes_of_granule(shadow.byte, conflict->at)));
    }
    if (kind & kWrite) mark_written(address, bytes);
  }

  // Returns the block of the thread's cluster that the arena belongs to.
  Block& block_in(size_t arena) const {
    for (Block* block : thread.block->cluster->blocks) {
      if (block->place != arena) continue;
      if (block->live == 0) {
        refuse("access to the shared memory of a block that has exited",
               block->shared.describe(block->shared.offset(address), bytes));
      }
      return *block;
    }
    refuse("access to the shared memory of a block that is not in the cluster", std::to_string(bytes) + " bytes");
  }

  bool is_own_memory() const {
    return thread.stack.holds(address) || current_launch->holds_arguments(address) || library_image().holds(address);
  }

  void check() const {
    const size_t arena = SharedMemory::arena_of(address);
    if (arena < SharedMemory::kArenas) {
      check_shared(block_in(arena));
    } else if (is_in_device_range(address)) {
      check_global();
    } else if (!is_own_memory()) {
      char text[64];
      std::snprintf(text, sizeof text, "address %p", address);
      refuse("access to an address in neither device memory nor shared memory", text);
    }
  }
};

}  // namespace

void check_access(const void* address, size_t bytes, uint32_t kind, const void* code) {
  Thread& thread = current_thread();
  if (thread.stack.holds(address)) return;  // by far the most frequent case
  Checked{thread.actor, thread, address, bytes, kind, code}.check();
}

void refuse_misaligned(const void* address, size_t alignment, const char* file, unsigned line) {
  current_launch->hears_accesses = false;
  const bool shared = SharedMemory::arena_of(address) < SharedMemory::kArenas;
  const SharedMemory& own = current_thread().block->shared;
  const std::string where = shared ? own.describe(own.offset(address), 1) : describe_device_memory(address, 1);
  fail("misaligned: a pointer that must be a multiple of " + std::to_string(alignment) + " points to " + where +
       "\n  at " + shortened_path(file) + ":" + std::to_string(line));
}

FenceState::Scope& atomic_scope(const void* address) {
  FenceState& fences = current_thread().fences;
  return SharedMemory::arena_of(address) < SharedMemory::kArenas ? fences.block : fences.device;
}

void check_volatile_access(const void* address, size_t bytes, uint32_t kind, const void* code) {
  if (current_thread().stack.holds(address)) return;
  check_access(address, bytes, kind | kAtomic, code);
  AtomicOrder& order = *current_launch->atomic_order;
  if (kind & kWrite) order.write(address, atomic_scope(address));
  else order.read(address, atomic_scope(address));
}

void check_access_of(Actor& actor, Thread& thread, const void* address, size_t bytes, uint32_t kind, const void* code) {
  if (current_launch->checker) Checked{actor, thread, address, bytes, kind, code}.check();
}

}  // namespace foretoken::simt
