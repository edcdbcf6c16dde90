// Operations that the lanes of a warp execute together.
#pragma once

#include <cstdint>

#include "csrc/simt/place.h"

namespace foretoken::simt {

struct Warp;

enum class CollectiveKind {
  kSyncwarp,
  kShuffle,
  kBallot,
  kReduce,
  kElect,
  // All lanes must come to these by the same instruction.
  kLdmatrix,
  kMma,
  kWgmma,
  kWgmmaFence,
  kWgmmaCommit,
  kWgmmaWait,
};

// One under way: lanes of `mask` that have come wait for the others.
struct Collective {
  uint32_t mask = 0;
  uint32_t arrived = 0;
  CollectiveKind kind{};
  Place place;  // of the lane that came first
};

// Waits for the lanes of the mask; then `execute` runs once, for all of them, with what each brought in
// warp.operands[lane]. The caller is at thread.place.
using ExecuteCollective = void (*)(Warp& warp, uint32_t mask);
void meet(uint32_t mask, CollectiveKind kind, void* operand, ExecuteCollective execute);

}  // namespace foretoken::simt
