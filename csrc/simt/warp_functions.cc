// Shuffles, votes, reductions of a warp, and __syncwarp.
#include "csrc/simt/collective.h"
#include "csrc/simt/ptx_hopper.h"
#include "csrc/simt/scheduler.h"
#include "csrc/simt/thread_builtins.h"

namespace foretoken::simt {

namespace {

struct ShuffleOperand {
  uint64_t bits;
  uint32_t source;
  uint64_t result;
};

template <typename T>
T& operand(Warp& warp, uint32_t lane) {
  return *static_cast<T*>(warp.operands[lane]);
}

uint32_t source_of(Shuffle kind, uint32_t lane, int operand, int width) {
  const auto own = static_cast<int>(lane);
  const int first = own & ~(width - 1), end = first + width;
  switch (kind) {
    case Shuffle::kIndex: return static_cast<uint32_t>(first + (operand & (width - 1)));
    case Shuffle::kUp: return static_cast<uint32_t>(own - operand < first ? own : own - operand);
    case Shuffle::kDown: return static_cast<uint32_t>(own + operand >= end ? own : own + operand);
    case Shuffle::kXor: return static_cast<uint32_t>((own ^ operand) >= end ? own : own ^ operand);
  }
  return lane;
}

void execute_shuffle(Warp& warp, uint32_t mask) {
  for_each_lane(mask, [&](uint32_t lane) {
    auto& own = operand<ShuffleOperand>(warp, lane);
    if (!(mask >> own.source & 1)) {
      fail("a shuffle of lane " + std::to_string(lane) + " reads lane " + std::to_string(own.source) +
           ", which is not in the mask");
    }
    own.result = operand<ShuffleOperand>(warp, own.source).bits;
  });
}

}  // namespace

uint64_t shuffle(unsigned mask, Shuffle kind, uint64_t bits, int operand, int width) {
  static constexpr const char* kNames[] = {"__shfl_sync", "__shfl_up_sync", "__shfl_down_sync", "__shfl_xor_sync"};
  const Thread& thread = begin_operation(kNames[static_cast<int>(kind)], __builtin_return_address(0));
  if (width < 1 || width > 32 || (width & (width - 1))) {
    fail(thread.place.operation + (": a width of " + std::to_string(width)) +
         "; it must be a power of two, at most 32");
  }
  ShuffleOperand own{bits, source_of(kind, thread.lane, operand, width), 0};
  meet(mask, CollectiveKind::kShuffle, &own, execute_shuffle);
  return own.result;
}

namespace {

struct BallotOperand {
  bool predicate;
  uint32_t result;
};

unsigned ballot(unsigned mask, bool predicate, const char* name, const void* code) {
  begin_operation(name, code);
  BallotOperand own{predicate, 0};
  meet(mask, CollectiveKind::kBallot, &own, [](Warp& warp, uint32_t lanes) {
    uint32_t result = 0;
    for_each_lane(lanes, [&](uint32_t lane) {
      result |= static_cast<uint32_t>(operand<BallotOperand>(warp, lane).predicate) << lane;
    });
    for_each_lane(lanes, [&](uint32_t lane) { operand<BallotOperand>(warp, lane).result = result; });
  });
  return own.result;
}

struct ReduceOperand {
  uint32_t value;
  uint32_t (*combine)(uint32_t a, uint32_t b);
};

uint32_t reduce(unsigned mask, const char* name, const void* code, uint32_t value,
                uint32_t (*combine)(uint32_t, uint32_t)) {
  begin_operation(name, code);
  ReduceOperand own{value, combine};
  meet(mask, CollectiveKind::kReduce, &own, [](Warp& warp, uint32_t lanes) {
    auto& first = operand<ReduceOperand>(warp, static_cast<uint32_t>(std::countr_zero(lanes)));
    uint32_t result = first.value;
    for_each_lane(lanes & (lanes - 1),
                  [&](uint32_t lane) { result = first.combine(result, operand<ReduceOperand>(warp, lane).value); });
    for_each_lane(lanes, [&](uint32_t lane) { operand<ReduceOperand>(warp, lane).value = result; });
  });
  return own.value;
}

void exchange_knowledge(Warp& warp, uint32_t mask) {
  RaceChecker* const checker = current_launch->checker;
  if (!checker) return;
  ClockSum sum;
  for_each_lane(mask, [&](uint32_t lane) { sum.add(checker->clocks(), warp.threads[lane]->actor); });
  const ClockRef known = sum.take();
  for_each_lane(mask, [&](uint32_t lane) { warp.threads[lane]->actor.known = known; });
}

}  // namespace

}  // namespace foretoken::simt

namespace foretoken::simt::ptx {

bool elect_one() {
  begin_operation("elect.sync", __builtin_return_address(0));
  meet(kAllLanes, CollectiveKind::kElect, nullptr, [](Warp&, uint32_t) {});
  return current_thread().lane == 0;
}

}  // namespace foretoken::simt::ptx

using namespace foretoken::simt;

void __syncwarp(unsigned mask) {
  begin_operation("__syncwarp", __builtin_return_address(0));
  meet(mask, CollectiveKind::kSyncwarp, nullptr, exchange_knowledge);
}

unsigned __ballot_sync(unsigned mask, int predicate) {
  return ballot(mask, predicate != 0, "__ballot_sync", __builtin_return_address(0));
}
int __any_sync(unsigned mask, int predicate) {
  return ballot(mask, predicate != 0, "__any_sync", __builtin_return_address(0)) != 0;
}
int __all_sync(unsigned mask, int predicate) {
  return ballot(mask, predicate == 0, "__all_sync", __builtin_return_address(0)) == 0;
}

#define FORETOKEN_REDUCE(name, Type, expression)                                                                       \
  Type name(unsigned mask, Type value) {                                                                               \
    const auto combine = [](uint32_t x, uint32_t y) {                                                                  \
      const auto a = static_cast<Type>(x), b = static_cast<Type>(y);                                                   \
      return static_cast<uint32_t>(expression);                                                                        \
    };                                                                                                                 \
    return static_cast<Type>(reduce(mask, #name, __builtin_return_address(0), static_cast<uint32_t>(value), combine)); \
  }

FORETOKEN_REDUCE(__reduce_add_sync, unsigned, a + b)
FORETOKEN_REDUCE(__reduce_min_sync, unsigned, a < b ? a : b)
FORETOKEN_REDUCE(__reduce_max_sync, unsigned, a > b ? a : b)
FORETOKEN_REDUCE(__reduce_add_sync, int, static_cast<uint32_t>(a) + static_cast<uint32_t>(b))
FORETOKEN_REDUCE(__reduce_min_sync, int, a < b ? a : b)
FORETOKEN_REDUCE(__reduce_max_sync, int, a > b ? a : b)
FORETOKEN_REDUCE(__reduce_and_sync, unsigned, a& b)
FORETOKEN_REDUCE(__reduce_or_sync, unsigned, a | b)
FORETOKEN_REDUCE(__reduce_xor_sync, unsigned, a ^ b)
