// A thread of a kernel.
#pragma once

#include <cstdint>

#include "csrc/simt/async_copies.h"
#include "csrc/simt/atomic_order.h"
#include "csrc/simt/bulk_copies.h"
#include "csrc/simt/clock.h"
#include "csrc/simt/fiber.h"
#include "csrc/simt/place.h"
#include "csrc/simt/vector_types.h"

namespace foretoken::simt {

struct Warp;
struct Block;

struct Thread {
  void* fiber = nullptr;  // while the thread does not run
  Stack stack;
  uint3 index{};
  uint32_t rank = 0;  // in the block
  uint32_t lane = 0;
  Warp* warp = nullptr;
  Block* block = nullptr;
  bool exited = false;
  Place place;
  ThreadCopies copies;
  ThreadStores stores;
  bool has_arrived = false;  // at the cluster's barrier, since it last waited there
  uint32_t cluster_phase = 0;
  Actor actor;
  FenceState fences;
};

}  // namespace foretoken::simt
