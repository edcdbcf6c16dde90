// Orders accesses through atomic operations: one thread's fence and then its atomic operation release what it knows,
// and another thread's atomic operation on the same address and then its fence acquire that.
#pragma once

#include <unordered_map>

#include "csrc/simt/clock.h"

namespace foretoken::simt {

struct Thread;

// The clocks that a thread's fences released, and those that its atomic operations read but no fence has acquired yet.
// The scope `block` counts for atomic operations on shared memory.
struct FenceState {
  struct Scope {
    ClockRef released, pending;
  };
  Scope block, device;
};

class AtomicOrder {
 public:
  explicit AtomicOrder(ClockPool& clocks) : clocks_(clocks) {}

  void begin_wave() { ++wave_; }
  void fence(Actor& actor, FenceState& state, bool device);
  // Models an atomic operation, which reads what other threads released, and adds what this thread released.
  void change(const void* address, FenceState::Scope& scope);
  void read(const void* address, FenceState::Scope& scope);
  // Models a volatile write: a thread that reads it learns nothing of earlier writes.
  void write(const void* address, FenceState::Scope& scope);

 private:
  struct Location {
    uint32_t wave;
    ClockRef sum;
  };
  Location& location(const void* address);

  ClockPool& clocks_;
  uint32_t wave_ = ~0u;
  std::unordered_map<const void*, Location> locations_;
};

}  // namespace foretoken::simt
