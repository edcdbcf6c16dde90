// A warp of a block.
#pragma once

#include <cstdint>

#include "csrc/simt/clock.h"
#include "csrc/simt/collective.h"
#include "csrc/simt/lanes.h"
#include "csrc/simt/wgmma.h"

namespace foretoken::simt {

struct Thread;
struct Block;

struct Warp {
  Thread* threads[kLanes]{};
  Block* block = nullptr;
  uint32_t rank = 0;   // among all warps that run at once
  uint32_t lanes = 0;  // that exist
  uint32_t ready = 0;  // that can run
  uint32_t exited = 0;
  uint32_t priority = 0;  // Schedule::kStarve
  // Collective operations in progress, of disjoint masks, and the operand of each lane.
  Collective collectives[kLanes];
  uint32_t collective_count = 0;
  void* operands[kLanes]{};
  WarpProducts products;
  Actor tensor_core;
};

}  // namespace foretoken::simt
