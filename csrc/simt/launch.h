// A launch of a kernel, with the blocks of it that run, and the thread of it that runs now.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "csrc/simt/block.h"
#include "csrc/simt/cluster.h"
#include "csrc/simt/kernel_launch.h"
#include "csrc/simt/options.h"
#include "csrc/simt/race_checker.h"
#include "csrc/simt/random.h"

namespace foretoken::simt {

struct Launch {
  Options options;
  dim3 grid, block;
  const KernelCall* call = nullptr;
  Random random;
  std::vector<Block*> blocks;         // that run at once
  std::vector<Warp*> warps;           // of those blocks
  std::vector<uint64_t> ready_warps;  // bit i: warps[i] has a thread that can run
  std::vector<Cluster> clusters;      // of those blocks
  BulkLoads bulk_loads;
  Thread* current = nullptr;
  void* main_fiber = nullptr;
  uint64_t idle_turns = 0;         // since a thread was last made ready or has exited
  std::string failure;             // the report of what a thread did wrong
  RaceChecker* checker = nullptr;  // null if accesses are not checked; atomic_order is then null, too
  AtomicOrder* atomic_order = nullptr;
  bool hears_accesses = false;  // false while a report is written

  bool holds_arguments(const void* address) const {
    return static_cast<size_t>(static_cast<const char*>(address) - static_cast<const char*>(call->arguments.get())) <
           call->argument_bytes;
  }
};

// The launch that this operating-system thread runs; null outside of kernels.
extern constinit thread_local Launch* current_launch __attribute__((tls_model("initial-exec")));

inline Thread& current_thread() { return *current_launch->current; }

// Returns the current thread after noting that it calls an operation of the emulator from `code`.
inline Thread& begin_operation(const char* operation, const void* code) {
  Thread& thread = current_thread();
  thread.place = {operation, code};
  return thread;
}

}  // namespace foretoken::simt
