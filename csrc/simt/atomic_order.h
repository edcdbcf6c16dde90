// What orders accesses through atomic operations: one thread's fence and then its atomic operation, another's atomic
// operation on the same address that finds the result, and then its fence.
#pragma once

#include <unordered_map>

#include "csrc/simt/clock.h"

namespace foretoken::simt {

struct Thread;

// What a thread's fences have made ready to be handed on, and what atomic operations found but no fence took yet. Those
// of a block count for atomic operations on shared memory.
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
  // An atomic operation: reads what others have handed on, and adds to it.
  void change(const void* address, FenceState::Scope& scope);
  void read(const void* address, FenceState::Scope& scope);
  // A volatile write: whoever reads it learns nothing of those that wrote before.
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
