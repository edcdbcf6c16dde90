#include "csrc/simt/memory_access.h"

#include <cstdio>

#include "csrc/simt/device_memory.h"
#include "csrc/simt/library_image.h"
#include "csrc/simt/race_checker.h"
#include "csrc/simt/report.h"
#include "csrc/simt/scheduler.h"
#include "csrc/simt/source_lines.h"

namespace foretoken::simt {

namespace {

std::string describe_global(const void* address, size_t bytes) {
  const Allocation* const below = find_allocation_below(address);
  char text[160];
  if (below) {
    const auto first = static_cast<const unsigned char*>(address) - below->address;
    std::snprintf(text, sizeof text, "bytes %td … %td of an allocation of %zu bytes", first,
                  first + static_cast<ptrdiff_t>(bytes) - 1, below->bytes);
  } else {
    std::snprintf(text, sizeof text, "address %p", address);
  }
  return text;
}

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
    fail(problem + ": " + where + "\n  " + who());
  }

  [[noreturn]] void refuse_race(const AccessRecord& other, const std::string& where) const {
    const bool lacks_fence = kind & kAsync && other.kind() & kWrite && !(other.kind() & kAsync);
    const std::string advice =
        lacks_fence ? "\n  neither a barrier orders the two for the asynchronous proxy: that takes fence.proxy.async"
                    : "";
    fail("race on " + where + "\n  " + who() + "\n  " + current_launch->checker->describe(other) +
         "\n  nothing orders the two" + advice);
  }

  bool reads() const { return !(kind & kWrite); }

  void check_shared(Block& block) const {
    SharedMemory& shared = block.shared;
    const uint32_t offset = shared.offset(address);
    if (!shared.is_allocated(offset, bytes)) refuse("out of bounds", shared.describe(offset, bytes));
    if (shared.is_in_flight(offset, bytes)) {
      const AccessRecord* const copy = current_launch->checker->last_write(shared.granules(), offset);
      refuse("access to what an asynchronous copy is writing until it is waited for",
             shared.describe(offset, bytes) + (copy ? "\n  " + current_launch->checker->describe(*copy) : ""));
    }
    if (reads() && !shared.is_written(offset, bytes)) {
      refuse("read of what was never written", shared.describe(offset, bytes));
    }
    const Access access{&actor, kind, code};
    const AccessRecord* const other = current_launch->checker->record(shared.granules(), offset, bytes, access, true);
    if (other) refuse_race(*other, shared.describe(offset, bytes));
    if (kind & kWrite) shared.mark_written(offset, bytes);
  }

  void check_global() const {
    const Allocation* const allocation = find_allocation(address);
    if (!allocation || !allocation->holds(address, bytes)) refuse("out of bounds", describe_global(address, bytes));
    if (reads() && allocation->kind == MemoryKind::kDevice && !is_written(address, bytes)) {
      refuse("read of what was never written", describe_global(address, bytes));
    }
    const GlobalShadow shadow = shadow_of(address);
    const Access access{&actor, kind, code};
    const AccessRecord* const other =
        current_launch->checker->record(shadow.granules, shadow.byte, bytes, access, false);
    if (other) refuse_race(*other, describe_global(address, bytes));
    if (kind & kWrite) mark_written(address, bytes);
  }

  // The block of the thread's cluster whose shared memory that is.
  Block& block_in(size_t arena) const {
    for (Block* block : thread.block->cluster->blocks) {
      if (block->place != arena) continue;
      if (block->live == 0) refuse("access to the shared memory of a block that has exited", "");
      return *block;
    }
    refuse("access to the shared memory of a block that is not in the cluster", "");
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
      refuse("access to what is neither device memory nor shared memory", text);
    }
  }
};

}  // namespace

void check_access(const void* address, size_t bytes, uint32_t kind, const void* code) {
  Thread& thread = current_thread();
  if (thread.stack.holds(address)) return;  // by far the most frequent one
  Checked{thread.actor, thread, address, bytes, kind, code}.check();
}

void check_aligned_access(const void* address, size_t bytes, uint32_t kind, const void* code) {
  Thread& thread = current_thread();
  if (thread.stack.holds(address)) return;
  const Checked access{thread.actor, thread, address, bytes, kind, code};
  if (reinterpret_cast<uintptr_t>(address) % bytes != 0) {
    access.refuse("misaligned access", std::to_string(bytes) + " bytes");
  }
  access.check();
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
