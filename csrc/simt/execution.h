// What runs: the threads of a kernel, their warps and blocks, and the launch they belong to.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "csrc/simt/async_copies.h"
#include "csrc/simt/atomic_order.h"
#include "csrc/simt/barriers.h"
#include "csrc/simt/bulk_copies.h"
#include "csrc/simt/clock.h"
#include "csrc/simt/cluster.h"
#include "csrc/simt/collective.h"
#include "csrc/simt/fiber.h"
#include "csrc/simt/kernel_launch.h"
#include "csrc/simt/lanes.h"
#include "csrc/simt/mbarrier.h"
#include "csrc/simt/options.h"
#include "csrc/simt/place.h"
#include "csrc/simt/race_checker.h"
#include "csrc/simt/random.h"
#include "csrc/simt/shared_memory.h"
#include "csrc/simt/wgmma.h"

namespace foretoken::simt {

struct Warp;
struct Block;

struct Thread {
  void* fiber = nullptr;  // while it does not run
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
  bool has_arrived = false;  // at the cluster's barrier, in this phase of it
  uint32_t cluster_phase = 0;
  Actor actor;
  FenceState fences;
};

struct Warp {
  Thread* threads[kLanes]{};
  Block* block = nullptr;
  uint32_t rank = 0;   // among all that run at once
  uint32_t lanes = 0;  // those there are
  uint32_t ready = 0;  // those that can run
  uint32_t exited = 0;
  uint32_t priority = 0;  // Schedule::kStarve
  // Collective operations in progress, of disjoint masks, and what each lane brought to them.
  Collective collectives[kLanes];
  uint32_t collective_count = 0;
  void* operands[kLanes]{};
  WarpProducts products;
  Actor tensor_core;
};

struct Block {
  explicit Block(size_t place) : place(place), shared(place) {}

  const size_t place;  // among those that run at once
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

  // Forgets all but its shared memory.
  void clear() {
    threads.clear();
    warps.clear();
    for (BlockBarrier& barrier : barriers) barrier = {};
    mbarriers.clear();
    warpgroups.clear();
    copy_engine = {};
  }
};

struct Launch {
  Options options;
  dim3 grid, block;
  const KernelCall* call = nullptr;
  Random random;
  std::vector<Block*> blocks;         // those that run at once
  std::vector<Warp*> warps;           // all of theirs
  std::vector<uint64_t> ready_warps;  // bit i: warps[i] has a thread that can run
  std::vector<Cluster> clusters;      // of those blocks
  BulkLoads bulk_loads;
  Thread* current = nullptr;
  void* main_fiber = nullptr;
  uint64_t idle_turns = 0;         // since a thread was last made ready or has exited
  std::string failure;             // what a thread did wrong
  RaceChecker* checker = nullptr;  // where accesses are checked, and then the next one as well
  AtomicOrder* atomic_order = nullptr;
  bool hears_accesses = false;  // not while a report is written

  bool holds_arguments(const void* address) const {
    return static_cast<size_t>(static_cast<const char*>(address) - static_cast<const char*>(call->arguments.get())) <
           call->argument_bytes;
  }
};

// What runs on this operating-system thread; null outside of kernels.
extern constinit thread_local Launch* current_launch __attribute__((tls_model("initial-exec")));

// Fails if the thread leaves copies behind that it has not waited for.
void finish_copies(Thread& thread);
// A thread that has exited is not waited for at the cluster's barrier.
void leave_cluster(Thread& thread);

inline Thread& current_thread() { return *current_launch->current; }

// The current thread, which calls an operation of the emulator from `code`.
inline Thread& begin_operation(const char* operation, const void* code) {
  Thread& thread = current_thread();
  thread.place = {operation, code};
  return thread;
}

}  // namespace foretoken::simt
