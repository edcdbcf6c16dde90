#include "csrc/simt/barriers.h"

#include "csrc/simt/ptx.h"
#include "csrc/simt/report.h"
#include "csrc/simt/scheduler.h"
#include "csrc/simt/source_lines.h"
#include "csrc/simt/thread_builtins.h"

namespace foretoken::simt {

namespace {

void release(Block& block, BlockBarrier& barrier) {
  barrier.arrived = 0;
  const ClockRef known = barrier.arrivals.take();
  for (Warp& warp : block.warps) {
    uint32_t& waiting = barrier.waiting[&warp - block.warps.data()];
    if (waiting) make_ready(warp, waiting);
    if (known) for_each_lane(waiting, [&](uint32_t lane) { warp.threads[lane]->actor.known = known; });
    waiting = 0;
  }
}

bool is_complete(const Block& block, const BlockBarrier& barrier) {
  return barrier.arrived > 0 && barrier.arrived >= (barrier.expected ? barrier.expected : block.live);
}

}  // namespace

void arrive_at_barrier(int id, uint32_t count, bool wait, const char* operation, const void* code) {
  Thread& thread = begin_operation(operation, code);
  Block& block = *thread.block;
  if (id < 0 || id >= kBarriers) fail(std::string(operation) + ": there is no barrier " + std::to_string(id));
  if (count % kLanes != 0) {
    fail(std::string(operation) + ": " + std::to_string(count) + " threads are not a multiple of the warp's 32");
  }
  BlockBarrier& barrier = block.barriers[id];
  if (barrier.arrived == 0) {
    barrier.expected = count;
    barrier.code = code;
  } else if (barrier.expected != count) {
    fail(std::string(operation) + ": expects " + std::to_string(count) + " threads, others at this barrier " +
         std::to_string(barrier.expected));
  } else if (count == 0 && !is_same_code(barrier.code, code)) {
    fail("divergent " + std::string(operation) + ": at " + source_line(code) + ", while other threads are at " +
         source_line(barrier.code));
  }
  ++barrier.arrived;
  if (RaceChecker* const checker = current_launch->checker) barrier.arrivals.add(checker->clocks(), thread.actor);
  const auto warp = static_cast<size_t>(thread.warp - block.warps.data());
  if (wait) barrier.waiting[warp] |= 1u << thread.lane;
  if (is_complete(block, barrier)) {
    release(block, barrier);
    maybe_switch();
  } else if (wait) {
    wait_until_ready();
  }
}

std::string problem_of_barriers(const Block& block) {
  for (const BlockBarrier& barrier : block.barriers) {
    if (barrier.arrived == 0) continue;
    return "only " + std::to_string(barrier.arrived) + " of " + std::to_string(barrier.expected) +
           " threads reached barrier " + std::to_string(&barrier - block.barriers);
  }
  return "";
}

void release_barriers_after_exit(Block& block) {
  for (BlockBarrier& barrier : block.barriers) {
    if (barrier.expected == 0 && is_complete(block, barrier)) release(block, barrier);
  }
}

}  // namespace foretoken::simt

using namespace foretoken::simt;

namespace foretoken::simt::ptx {

void bar_sync(int id, int threads) {
  arrive_at_barrier(id, static_cast<uint32_t>(threads), true, "bar.sync", __builtin_return_address(0));
}
void bar_arrive(int id, int threads) {
  arrive_at_barrier(id, static_cast<uint32_t>(threads), false, "bar.arrive", __builtin_return_address(0));
}

}  // namespace foretoken::simt::ptx

void __syncthreads() { arrive_at_barrier(0, 0, true, "__syncthreads", __builtin_return_address(0)); }
