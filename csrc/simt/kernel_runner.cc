#include "csrc/simt/kernel_runner.h"

#include <algorithm>
#include <memory>
#include <mutex>
#include <numeric>
#include <optional>

#include "csrc/simt/scheduler.h"

namespace foretoken::simt {

namespace {

// What is kept from launch to launch: threads with their stacks, and shared memory.
struct Machine {
  std::mutex mutex;
  StackPool stacks;
  std::vector<std::unique_ptr<Block>> blocks;
};

Machine& machine() {
  static auto* const the_machine = new Machine;  // streams may still run when statics are destroyed
  return *the_machine;
}

std::vector<uint64_t> order_of_blocks(Launch& launch, uint64_t count) {
  std::vector<uint64_t> order(count);
  std::iota(order.begin(), order.end(), 0);
  if (launch.options.schedule == Schedule::kReverse) {
    std::reverse(order.begin(), order.end());
  } else if (launch.options.schedule != Schedule::kInOrder) {
    for (uint64_t i = count; i > 1; --i) std::swap(order[i - 1], order[launch.random.next() % i]);
  }
  return order;
}

void prepare_block(Launch& launch, Block& block, uint64_t number, const StackPool& stacks, size_t first_stack) {
  const dim3 grid = launch.grid, size = launch.block;
  const uint32_t threads = size.x * size.y * size.z;
  block.index = {static_cast<unsigned>(number % grid.x), static_cast<unsigned>(number / grid.x % grid.y),
                 static_cast<unsigned>(number / grid.x / grid.y)};
  block.live = threads;
  std::fill(std::begin(block.barriers), std::end(block.barriers), BlockBarrier{});
  block.shared.reset(launch.dynamic_shared_bytes);
  block.threads.resize(threads);
  block.warps.assign((threads + kLanes - 1) / kLanes, Warp{});
  for (uint32_t i = 0; i < threads; ++i) {
    Thread& thread = block.threads[i];
    Warp& warp = block.warps[i / kLanes];
    thread.stack = stacks.stack(first_stack + i);
    thread.index = {i % size.x, i / size.x % size.y, i / size.x / size.y};
    thread.rank = i;
    thread.lane = i % kLanes;
    thread.warp = &warp;
    thread.block = &block;
    thread.exited = false;
    thread.place = {};
    thread.copies.pending.clear();
    thread.copies.groups = 0;
    thread.fences = {};
    warp.threads[thread.lane] = &thread;
    warp.lanes |= 1u << thread.lane;
  }
  if (RaceChecker* const checker = launch.checker) {
    const auto place = static_cast<uint32_t>(block.place);
    for (Thread& thread : block.threads) checker->begin(thread.actor, checker->thread_actor(place, thread.rank));
    for (uint32_t i = 0; i < block.warps.size(); ++i) {
      checker->begin(block.warps[i].tensor_core, checker->tensor_core(place, i));
    }
    checker->begin(block.copy_engine, checker->copy_engine(place));
  }
  for (Warp& warp : block.warps) {
    warp.block = &block;
    warp.rank = static_cast<uint32_t>(launch.warps.size());
    warp.priority = static_cast<uint32_t>(launch.random.next() >> 32);
    launch.warps.push_back(&warp);
  }
  launch.blocks.push_back(&block);
}

// Clocks are the checker's, which is about to go.
void forget_clocks(Block& block) {
  for (Thread& thread : block.threads) {
    thread.actor = {};
    thread.fences = {};
  }
  for (Warp& warp : block.warps) warp.tensor_core = {};
  block.copy_engine = {};
  std::fill(std::begin(block.barriers), std::end(block.barriers), BlockBarrier{});
}

}  // namespace

std::string run_kernel(const LaunchShape& shape, const KernelCall& call, const Options& options) {
  Machine& kept = machine();
  const std::lock_guard lock(kept.mutex);
  Launch launch;
  launch.options = options;
  launch.random = Random(options.seed);
  launch.grid = shape.grid;
  launch.block = shape.block;
  launch.dynamic_shared_bytes = shape.dynamic_shared_bytes;
  launch.call = &call;
  const uint64_t count = uint64_t{shape.grid.x} * shape.grid.y * shape.grid.z;
  const size_t threads = size_t{shape.block.x} * shape.block.y * shape.block.z;
  const size_t at_once = std::min<uint64_t>(count, static_cast<uint64_t>(options.resident_blocks));
  kept.stacks.reserve(at_once * threads);
  while (kept.blocks.size() < at_once) kept.blocks.push_back(std::make_unique<Block>(kept.blocks.size()));
  std::optional<RaceChecker> checker;
  std::optional<AtomicOrder> atomic_order;
  if (options.races) {
    checker.emplace(shape.grid, shape.block, static_cast<uint32_t>(at_once));
    atomic_order.emplace(checker->clocks());
    launch.checker = &*checker;
    launch.atomic_order = &*atomic_order;
  }

  current_launch = &launch;
  const std::vector<uint64_t> order = order_of_blocks(launch, count);
  for (uint64_t first = 0; first < count && launch.failure.empty(); first += at_once) {
    launch.blocks.clear();
    launch.warps.clear();
    if (checker) {
      const auto end = std::min(first + at_once, count);
      checker->begin_wave({order.begin() + static_cast<ptrdiff_t>(first), order.begin() + static_cast<ptrdiff_t>(end)});
      atomic_order->begin_wave();
    }
    for (size_t i = 0; i < at_once && first + i < count; ++i) {
      prepare_block(launch, *kept.blocks[i], order[first + i], kept.stacks, i * threads);
    }
    launch.ready_warps.assign((launch.warps.size() + 63) / 64, 0);
    run_threads(launch);
  }
  current_launch = nullptr;
  if (checker) {
    for (const auto& block : kept.blocks) forget_clocks(*block);
  }
  return launch.failure;
}

}  // namespace foretoken::simt
