// Blocks that run at once, reach into each other's shared memory, and have a barrier of their own.
#pragma once

#include <cstdint>
#include <vector>

#include "csrc/simt/clock.h"

namespace foretoken::simt {

struct Block;
struct Thread;

struct Cluster {
  std::vector<Block*> blocks;
  // The barrier: threads arrive, and may wait for the others later.
  uint32_t phase = 0;
  uint32_t arrived = 0;
  std::vector<Thread*> waiting;
  ClockSum arrivals;
  ClockRef released;
};

}  // namespace foretoken::simt
