// Clusters: blocks that run at once, access each other's shared memory, and share a barrier.
#pragma once

#include <cstdint>
#include <vector>

#include "csrc/simt/clock.h"

namespace foretoken::simt {

struct Block;
struct Thread;

struct Cluster {
  std::vector<Block*> blocks;
  // The barrier, at which threads arrive and may wait later.
  uint32_t phase = 0;
  uint32_t arrived = 0;
  std::vector<Thread*> waiting;
  ClockSum arrivals;
  ClockRef released;
};

// Removes a thread that has exited from its cluster's barrier, so that no thread waits for it.
void leave_cluster(Thread& thread);

}  // namespace foretoken::simt
