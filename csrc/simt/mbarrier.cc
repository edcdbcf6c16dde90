#include "csrc/simt/mbarrier.h"

#include <algorithm>
#include <cstring>

#include "csrc/simt/memory_access.h"
#include "csrc/simt/ptx_checks.h"
#include "csrc/simt/ptx_hopper.h"
#include "csrc/simt/scheduler.h"

namespace foretoken::simt {

namespace {

constexpr uint32_t kMark = 0x6d626172;
constexpr uint32_t kMostArrivals = (1u << 20) - 1;
constexpr int64_t kMostBytes = (1 << 20) - 1;

// The eight bytes that a barrier occupies in shared memory.
struct Word {
  uint32_t mark, number;
};

void check_word(Thread& thread, const void* address, uint32_t kind) {
  check_access_of(thread.actor, thread, address, sizeof(Word), kind, thread.place.code);
}

void end_phase_if_complete(Block& block, Mbarrier& barrier) {
  if (barrier.missing > 0 || barrier.bytes != 0) return;
  barrier.missing = barrier.expected;
  ++barrier.phase;
  if (RaceChecker* const checker = current_launch->checker) {
    barrier.released = checker->clocks().joined(barrier.released, barrier.arrivals.take());
    barrier.asked = barrier.answered = ClockRef();
  }
  for (Warp& warp : block.warps) {
    uint32_t& waiting = barrier.waiting[&warp - block.warps.data()];
    if (waiting) make_ready(warp, waiting);
    waiting = 0;
  }
}

void arrive(Block& block, Mbarrier& barrier) {
  Thread& thread = current_thread();
  if (barrier.missing == 0) {
    fail("mbarrier.arrive: more than the " + std::to_string(barrier.expected) + " arrivals of a phase, which still " +
         "waits for " + std::to_string(barrier.bytes) + " bytes");
  }
  if (RaceChecker* const checker = current_launch->checker) barrier.arrivals.add(checker->clocks(), thread.actor);
  --barrier.missing;
  end_phase_if_complete(block, barrier);
  maybe_switch();
}

void expect(Mbarrier& barrier, uint32_t bytes) {
  barrier.bytes += bytes;
  barrier.carried = barrier.phase + 1;
  if (barrier.bytes > kMostBytes) {
    fail("mbarrier.expect_tx: " + std::to_string(barrier.bytes) + " bytes are announced; at most " +
         std::to_string(kMostBytes) + " are allowed");
  }
}

void acquire(Thread& thread, Mbarrier& barrier) {
  RaceChecker* const checker = current_launch->checker;
  if (!checker) return;
  // Caches the answer, because most threads that wait know the same and therefore learn the same.
  if (!barrier.asked || !(barrier.asked == thread.actor.known)) {
    barrier.asked = thread.actor.known;
    barrier.answered = checker->clocks().joined(thread.actor.known, barrier.released);
  }
  thread.actor.known = barrier.answered;
}

void wait(uint64_t* address, uint32_t parity, const void* code) {
  Thread& thread = begin_operation("mbarrier.try_wait", code);
  Block& block = *thread.block;
  Mbarrier& barrier = mbarrier_at(block, address);
  const auto number = static_cast<size_t>(&barrier - block.mbarriers.data());
  check_word(thread, address, kRead | kAtomic);
  if ((barrier.phase & 1) == (parity & 1)) {
    barrier.waiting[thread.warp - block.warps.data()] |= 1u << thread.lane;
    wait_until_ready();
  } else {
    maybe_switch();
  }
  Mbarrier& over = block.mbarriers[number];
  over.awaited = std::max(over.awaited, over.phase);
  acquire(thread, over);
}

}  // namespace

Mbarrier& mbarrier_at(Block& block, const void* address) {
  const auto refuse = [](const std::string& problem) { fail(current_thread().place.operation + (": " + problem)); };
  SharedMemory& shared = block.shared;
  const uint32_t offset = shared.offset(address);
  if (!shared.holds(address) || !shared.is_allocated(offset, sizeof(Word))) {
    refuse("the barrier is not in the block's shared memory");
  }
  Word word;
  std::memcpy(&word, address, sizeof word);
  if (word.mark != kMark || word.number >= block.mbarriers.size() || block.mbarriers[word.number].offset != offset) {
    refuse("the barrier is not initialised, or was overwritten: " + shared.describe(offset, sizeof word));
  }
  return block.mbarriers[word.number];
}

void check_visible_to_engine(const Mbarrier& barrier) {
  const Thread& thread = current_thread();
  if (!current_launch->checker || thread.block->copy_engine.knows(barrier.maker, barrier.made, true)) return;
  fail(std::string(thread.place.operation) +
       ": the copy engine may not see yet that the mbarrier is initialised; that " +
       "requires fence_mbarrier_init and a barrier");
}

void complete_bytes(Block& block, Mbarrier& barrier, uint32_t bytes, uint32_t copy_engine, uint32_t time) {
  if (RaceChecker* const checker = current_launch->checker) {
    barrier.arrivals.add_time(checker->clocks(), copy_engine, time);
  }
  barrier.bytes -= bytes;
  end_phase_if_complete(block, barrier);
}

std::string problem_of_mbarriers(const Block& block) {
  for (const Mbarrier& barrier : block.mbarriers) {
    const std::string where = block.shared.describe(barrier.offset, sizeof(Word));
    if (barrier.bytes > 0) {
      return "mbarrier: " + std::to_string(barrier.bytes) + " announced bytes did not arrive: " + where;
    }
    if (barrier.bytes < 0) {
      return "mbarrier: " + std::to_string(-barrier.bytes) + " bytes arrived that were not announced: " + where;
    }
    if (barrier.carried > barrier.awaited) return "mbarrier: bytes arrived that no thread has waited for: " + where;
  }
  return "";
}

}  // namespace foretoken::simt

namespace foretoken::simt::ptx {

void mbarrier_init(uint64_t* barrier, uint32_t arrivals) {
  Thread& thread = begin_operation("mbarrier.init", __builtin_return_address(0));
  Block& block = *thread.block;
  auto* const address = checked_shared(barrier, sizeof(Word), sizeof(Word));
  const uint32_t offset = block.shared.offset(address);
  if (arrivals < 1 || arrivals > kMostArrivals) {
    fail("mbarrier.init: the number of arrivals is " + std::to_string(arrivals) + ", but must be 1 … " +
         std::to_string(kMostArrivals));
  }
  for (const Mbarrier& other : block.mbarriers) {
    if (other.valid && other.offset == offset)
      fail("mbarrier.init: the barrier is initialised already, and was not invalidated");
  }
  check_word(thread, address, kWrite);
  const Word word{kMark, static_cast<uint32_t>(block.mbarriers.size())};
  std::memcpy(address, &word, sizeof word);
  Mbarrier& made = block.mbarriers.emplace_back();
  made.offset = offset;
  made.expected = made.missing = arrivals;
  made.maker = thread.actor.index;
  made.made = thread.actor.time;
}

void mbarrier_invalidate(uint64_t* barrier) {
  Thread& thread = begin_operation("mbarrier.inval", __builtin_return_address(0));
  mbarrier_at(*thread.block, barrier).valid = false;
  check_word(thread, barrier, kWrite);
  const Word none{};
  std::memcpy(barrier, &none, sizeof none);
}

void mbarrier_arrive(uint64_t* barrier) {
  Thread& thread = begin_operation("mbarrier.arrive", __builtin_return_address(0));
  Mbarrier& here = mbarrier_at(*thread.block, barrier);
  check_word(thread, barrier, kWrite | kAtomic);
  arrive(*thread.block, here);
}

void mbarrier_arrive_expect(uint64_t* barrier, uint32_t bytes) {
  Thread& thread = begin_operation("mbarrier.arrive.expect_tx", __builtin_return_address(0));
  Mbarrier& here = mbarrier_at(*thread.block, barrier);
  check_word(thread, barrier, kWrite | kAtomic);
  expect(here, bytes);
  arrive(*thread.block, here);
}

void mbarrier_expect(uint64_t* barrier, uint32_t bytes) {
  Thread& thread = begin_operation("mbarrier.expect_tx", __builtin_return_address(0));
  Mbarrier& here = mbarrier_at(*thread.block, barrier);
  check_word(thread, barrier, kWrite | kAtomic);
  expect(here, bytes);
  end_phase_if_complete(*thread.block, here);
}

void mbarrier_arrive_at(uint64_t* barrier, uint32_t rank) {
  Thread& thread = begin_operation("mbarrier.arrive.shared::cluster", __builtin_return_address(0));
  void* const remote = address_in_block(barrier, rank);
  Block& block = *thread.block->cluster->blocks[rank];
  Mbarrier& there = mbarrier_at(block, remote);
  check_word(thread, remote, kWrite | kAtomic);
  arrive(block, there);
}

void mbarrier_wait(uint64_t* barrier, uint32_t parity) { wait(barrier, parity, __builtin_return_address(0)); }
void mbarrier_wait_cluster(uint64_t* barrier, uint32_t parity) { wait(barrier, parity, __builtin_return_address(0)); }

void fence_mbarrier_init() { fence_proxy_async(); }

void fence_proxy_async() {
  RaceChecker* const checker = current_launch->checker;
  if (!checker) return;
  Actor& actor = current_thread().actor;
  actor.known = checker->clocks().proxied(actor);
  actor.advance();
}

}  // namespace foretoken::simt::ptx
