// A block of a kernel, with its threads and its shared memory.
#pragma once

#include <cstdint>
#include <vector>

#include "csrc/simt/barriers.h"
#include "csrc/simt/mbarrier.h"
#include "csrc/simt/shared_memory.h"
#include "csrc/simt/thread.h"
#include "csrc/simt/warp.h"

namespace foretoken::simt {

struct Cluster;

struct Block {
  explicit Block(size_t place) : place(place), shared(place) {}

  const size_t place;  // among the blocks that run at once
  uint3 index{};
  std::vector<Thread> threads;
  std::vector<Warp> warps;
  uint32_t live = 0;  // threads that have not exited
  BlockBarrier barriers[kBarriers];
  std::vector<Mbarrier> mbarriers;
  std::vector<WarpgroupProducts> warpgroups;
  SharedMemory shared;
  Cluster* cluster = nullptr;
  uint32_t cluster_rank = 0;
  Actor copy_engine;

  // Clears everything except shared memory.
  void clear() {
    threads.clear();
    warps.clear();
    for (BlockBarrier& barrier : barriers) barrier = {};
    mbarriers.clear();
    warpgroups.clear();
    copy_engine = {};
  }
};

}  // namespace foretoken::simt
