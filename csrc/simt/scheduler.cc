#include "csrc/simt/scheduler.h"

#include <bit>
#include <cstdlib>
#include <map>

#include "csrc/simt/report.h"

namespace foretoken::simt {

constinit thread_local Launch* current_launch __attribute__((tls_model("initial-exec"))) = nullptr;

namespace {

void set_ready(Warp& warp, uint32_t lanes) {
  Launch& launch = *current_launch;
  warp.ready = lanes;
  const uint64_t bit = uint64_t{1} << (warp.rank % 64);
  uint64_t& word = launch.ready_warps[warp.rank / 64];
  word = lanes ? word | bit : word & ~bit;
}

// Returns the first ready warp in begin … end - 1, or null.
Warp* first_ready(const Launch& launch, uint32_t begin, uint32_t end) {
  for (uint32_t word = begin / 64; word * 64 < end; ++word) {
    uint64_t bits = launch.ready_warps[word];
    if (word == begin / 64) bits &= ~uint64_t{0} << (begin % 64);
    if (bits == 0) continue;
    const uint32_t rank = word * 64 + static_cast<uint32_t>(std::countr_zero(bits));
    return rank < end ? launch.warps[rank] : nullptr;
  }
  return nullptr;
}

Warp* last_ready(const Launch& launch) {
  for (size_t word = launch.ready_warps.size(); word-- > 0;) {
    const uint64_t bits = launch.ready_warps[word];
    if (bits) return launch.warps[word * 64 + 63 - static_cast<uint32_t>(std::countl_zero(bits))];
  }
  return nullptr;
}

Warp* any_ready(Launch& launch) {
  uint32_t count = 0;
  for (uint64_t word : launch.ready_warps) count += static_cast<uint32_t>(std::popcount(word));
  if (count == 0) return nullptr;
  uint32_t skip = launch.random.below(count);
  for (size_t word = 0;; ++word) {
    uint64_t bits = launch.ready_warps[word];
    const auto here = static_cast<uint32_t>(std::popcount(bits));
    if (skip >= here) {
      skip -= here;
      continue;
    }
    for (; skip > 0; --skip) bits &= bits - 1;
    return launch.warps[word * 64 + static_cast<uint32_t>(std::countr_zero(bits))];
  }
}

Warp* most_urgent_ready(Launch& launch) {
  constexpr uint32_t kSwitchesBetweenDraws = 256;
  const auto warps = static_cast<uint32_t>(launch.warps.size());
  if (launch.random.below(kSwitchesBetweenDraws) == 0) {
    launch.warps[launch.random.below(warps)]->priority = static_cast<uint32_t>(launch.random.next() >> 32);
  }
  Warp* best = nullptr;
  for (Warp* warp : launch.warps) {
    if (warp->ready && (!best || warp->priority > best->priority)) best = warp;
  }
  return best;
}

uint32_t any_lane(Launch& launch, uint32_t lanes) {
  for (uint32_t skip = launch.random.below(static_cast<uint32_t>(std::popcount(lanes))); skip > 0; --skip) {
    lanes &= lanes - 1;
  }
  return static_cast<uint32_t>(std::countr_zero(lanes));
}

Thread* lowest_thread(Warp* warp) { return warp ? warp->threads[std::countr_zero(warp->ready)] : nullptr; }

// Returns the thread that the schedule lets run next, or null if none can run now.
Thread* choose_ready(Launch& launch) {
  Warp* const current = launch.current ? launch.current->warp : nullptr;
  const auto warps = static_cast<uint32_t>(launch.warps.size());
  switch (launch.options.schedule) {
    case Schedule::kInOrder:
      // Stays with a warp while it can run, so that its lanes arrive at warp operations soonest.
      return lowest_thread(current && current->ready ? current : first_ready(launch, 0, warps));
    case Schedule::kReverse: {
      Warp* const warp = current && current->ready ? current : last_ready(launch);
      return warp ? warp->threads[31 - std::countl_zero(warp->ready)] : nullptr;
    }
    case Schedule::kRandom: {
      Warp* const warp = any_ready(launch);
      return warp ? warp->threads[any_lane(launch, warp->ready)] : nullptr;
    }
    case Schedule::kStarve: {
      Warp* const warp = most_urgent_ready(launch);
      return warp ? warp->threads[any_lane(launch, warp->ready)] : nullptr;
    }
  }
  return nullptr;
}

// As choose_ready, but completes copies that let threads run.
Thread* choose(Launch& launch) {
  BulkLoads& loads = launch.bulk_loads;
  constexpr uint32_t kChoicesPerCopy = 8;
  if (launch.options.async_copies == AsyncCopies::kRandom && !loads.empty() &&
      launch.random.below(kChoicesPerCopy) == 0) {
    loads.complete(launch.random.below(static_cast<uint32_t>(loads.size())));
  }
  Thread* next;
  while (!(next = choose_ready(launch)) && !loads.empty()) loads.complete(0);
  return next;
}

// Returns the next thread in round-robin order, so that every thread gets its turn.
Thread* next_in_turn(Launch& launch) {
  Warp& warp = *launch.current->warp;
  const uint32_t later_lanes = warp.ready & ~((2u << launch.current->lane) - 1);
  if (later_lanes) return warp.threads[std::countr_zero(later_lanes)];
  const auto warps = static_cast<uint32_t>(launch.warps.size());
  Warp* next = first_ready(launch, warp.rank + 1, warps);
  return lowest_thread(next ? next : first_ready(launch, 0, warps));
}

void switch_to(Thread* next) {
  Launch& launch = *current_launch;
  Thread* const from = launch.current;
  if (next == from) return;
  launch.current = next;
  foretoken_simt_switch(&from->fiber, next->fiber);
}

[[noreturn]] void leave(Thread* next) {
  Launch& launch = *current_launch;
  launch.current = next;
  void* unused;
  foretoken_simt_switch(&unused, next ? next->fiber : launch.main_fiber);
  std::abort();  // no thread switches back
}

void finish_thread(Thread& thread) {
  finish_copies(thread);
  for (const std::string& problem : {problem_of_stores(thread), problem_of_products(thread)}) {
    if (!problem.empty()) fail(problem);
  }
  finish_stores(thread);
}

void thread_main() {
  Launch& launch = *current_launch;
  Thread& thread = *launch.current;
  launch.call->invoke(launch.call->kernel, launch.call->arguments.get());
  finish_thread(thread);
  for (uint32_t i = 0; i < thread.warp->collective_count; ++i) {
    const Collective& collective = thread.warp->collectives[i];
    if (collective.mask >> thread.lane & 1) fail("the thread exits, but is waited for in " + name_of(collective.place));
  }
  thread.exited = true;
  Warp& warp = *thread.warp;
  warp.exited |= 1u << thread.lane;
  set_ready(warp, warp.ready & ~(1u << thread.lane));
  --thread.block->live;
  launch.idle_turns = 0;
  release_barriers_after_exit(*thread.block);
  leave_cluster(thread);
  Thread* const next = choose(launch);
  if (!next) {
    for (const Block* block : launch.blocks) {
      if (block->live) fail(describe_deadlock(launch));
    }
  }
  leave(next);
}

}  // namespace

void make_ready(Warp& warp, uint32_t lanes) {
  current_launch->idle_turns = 0;
  set_ready(warp, warp.ready | lanes);
}

void wait_until_ready() {
  Launch& launch = *current_launch;
  Warp& warp = *launch.current->warp;
  set_ready(warp, warp.ready & ~(1u << launch.current->lane));
  Thread* const next = choose(launch);
  if (!next) fail(describe_deadlock(launch));
  switch_to(next);
}

void maybe_switch() {
  Launch& launch = *current_launch;
  if (launch.options.schedule == Schedule::kRandom || launch.options.schedule == Schedule::kStarve) {
    switch_to(choose(launch));
  }
}

void give_way() {
  Launch& launch = *current_launch;
  constexpr uint64_t kMostIdleTurns = 1 << 20;
  if (++launch.idle_turns > kMostIdleTurns) fail(describe_livelock(launch));
  if (!launch.bulk_loads.empty()) launch.bulk_loads.complete(0);
  switch_to(next_in_turn(launch));
}

void run_threads(Launch& launch) {
  launch.current = nullptr;
  for (Warp* warp : launch.warps) {
    for (uint32_t lane = 0; lane < kLanes; ++lane) {
      if (Thread* const thread = warp->threads[lane]) thread->fiber = prepare_fiber(thread->stack, thread_main);
    }
    set_ready(*warp, warp->lanes);
  }
  launch.current = choose(launch);
  foretoken_simt_switch(&launch.main_fiber, launch.current->fiber);
}

void fail(const std::string& what) {
  Launch& launch = *current_launch;
  launch.hears_accesses = false;
  launch.failure = describe_failure(launch, what);
  leave(nullptr);
}

}  // namespace foretoken::simt
