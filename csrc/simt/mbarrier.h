// mbarrier: barriers in shared memory, whose phases end when so many threads have arrived and the bytes that were
// announced have come. What lies in shared memory only says which entry of the block's table it is.
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
  uint32_t missing = 0;   // of them in this phase
  uint32_t phase = 0;
  uint32_t awaited = 0;            // the phases before this one have been waited for
  uint32_t carried = 0;            // phases before this one had bytes
  uint32_t maker = 0, made = 0;    // the actor that initialised it, and when
  int64_t bytes = 0;               // announced, but not here yet
  uint32_t waiting[kMostWarps]{};  // lanes of each warp that wait for the end of this phase
  ClockSum arrivals;               // of this phase
  ClockRef released;               // by all phases that are over
  ClockRef asked, answered;        // what a thread knew that waited last, and what it knows since
};

// The barrier at an address in the block's shared memory; fails, in the name of the current operation, where there is
// none.
Mbarrier& mbarrier_at(Block& block, const void* address);

// Fails unless the copy engine of the current thread's block may see that the barrier is initialised.
void check_visible_to_engine(const Mbarrier& barrier);

// Bytes that a copy engine brought at `time`. Ends the phase if nothing else is missing.
void complete_bytes(Block& block, Mbarrier& barrier, uint32_t bytes, uint32_t copy_engine, uint32_t time);

// What is wrong with the barriers of a block that has come to its end, or nothing.
std::string problem_of_mbarriers(const Block& block);

}  // namespace foretoken::simt
