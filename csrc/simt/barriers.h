// Barriers among the threads of a block: __syncthreads and the sixteen named ones.
#pragma once

#include <cstdint>
#include <string>

#include "csrc/simt/clock.h"
#include "csrc/simt/lanes.h"

namespace foretoken::simt {

constexpr int kBarriers = 16;

struct BlockBarrier {
  uint32_t expected = 0;  // threads; 0: all of the block that have not exited
  uint32_t arrived = 0;
  uint32_t waiting[kMostWarps]{};  // lanes of each warp
  const void* code = nullptr;      // of the first arrival
  ClockSum arrivals;
};

// Arrives at barrier `id`, and if `wait`, waits there for `count` threads (0: all of the block).
void arrive_at_barrier(int id, uint32_t count, bool wait, const char* operation, const void* code);

// Completes barriers for all threads of the block that lacked only a thread that has now exited.
struct Block;
// Returns the problem with the barriers of a block whose threads have all exited; empty if there is none.
std::string problem_of_barriers(const Block& block);
void release_barriers_after_exit(Block& block);

}  // namespace foretoken::simt
