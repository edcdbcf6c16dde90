// Operations that the lanes of a warp execute together.
#pragma once

#include <bit>

#include "csrc/simt/execution.h"

namespace foretoken::simt {

enum class CollectiveKind {
  kSyncwarp,
  kShuffle,
  kBallot,
  kReduce,
  kLdmatrix,
  kMma,
  kElect,
  kWgmma,
  kWgmmaFence,
  kWgmmaCommit,
  kWgmmaWait,
};

// f(lane) for the lanes of a mask, rising.
template <typename F>
void for_each_lane(uint32_t mask, F&& f) {
  for (; mask; mask &= mask - 1) f(static_cast<uint32_t>(std::countr_zero(mask)));
}

// Waits for the lanes of the mask; then `execute` runs once, for all of them, with what each brought in
// warp.operands[lane].
using ExecuteCollective = void (*)(Warp& warp, uint32_t mask);
void meet(uint32_t mask, CollectiveKind kind, const char* operation, const void* code, void* operand,
          ExecuteCollective execute);

}  // namespace foretoken::simt
