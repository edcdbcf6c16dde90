// mbarrier: barriers in shared memory. A phase ends when the expected number of threads and all announced bytes have
// arrived. The barrier in shared memory holds only the index of its entry in the block's table.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "csrc/simt/barriers.h"
#include "csrc/simt/clock.h"

namespace foretoken::simt {

struct Block;

struct Mbarrier {
  uint32_t offset = 0;  // in shared memory
  bool valid = true;
  uint32_t expected = 0;  // arrivals in a phase
  uint32_t missing = 0;   // arrivals that this phase still lacks
  uint32_t phase = 0;
  uint32_t awaited = 0;            // threads have waited for the phases before this one
  uint32_t carried = 0;            // phases before this one had bytes
  uint32_t maker = 0, made = 0;    // the actor that initialised it, and when
  int64_t bytes = 0;               // announced, but not arrived yet
  uint32_t waiting[kMostWarps]{};  // lanes of each warp that wait for the end of this phase
  ClockSum arrivals;               // of this phase
  ClockRef released;               // by all phases that have ended
  ClockRef asked, answered;        // what the last thread to wait knew before, and what it knew after
};

// Returns the barrier at an address in the block's shared memory. Fails in the name of the current operation if there
// is none.
Mbarrier& mbarrier_at(Block& block, const void* address);

// Fails unless the copy engine of the current thread's block may see that the barrier is initialised.
void check_visible_to_engine(const Mbarrier& barrier);

// Counts bytes that a copy engine wrote at `time`. Ends the phase if nothing else is missing.
void complete_bytes(Block& block, Mbarrier& barrier, uint32_t bytes, uint32_t copy_engine, uint32_t time);

// Returns the problem with the barriers of a block whose threads have all exited; empty if there is none.
std::string problem_of_mbarriers(const Block& block);

}  // namespace foretoken::simt
