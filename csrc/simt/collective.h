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
  // All lanes must execute these by the same instruction.
  kLdmatrix,
  kMma,
  kWgmma,
  kWgmmaFence,
  kWgmmaCommit,
  kWgmmaWait,
};

// An operation in progress: the lanes of `mask` that have arrived wait for the others.
struct Collective {
  uint32_t mask = 0;
  uint32_t arrived = 0;
  CollectiveKind kind{};
  Place place;  // of the lane that arrived first
};

// Waits for the lanes of the mask. Then the last lane runs `execute` once for all of them, with the operand of each in
// warp.operands[lane]. The caller has set thread.place.
using ExecuteCollective = void (*)(Warp& warp, uint32_t mask);
void meet(uint32_t mask, CollectiveKind kind, void* operand, ExecuteCollective execute);

}  // namespace foretoken::simt
