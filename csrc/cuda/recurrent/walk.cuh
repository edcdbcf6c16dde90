// The order in which a block visits the nodes of a tree, depth first, with few copies of S: the same as on the CPU
// (csrc/cpu/recurrent/walk.h). S of the last visited node stays in registers. It is copied only if the node has a child
// that is not visited next, and the last child, the one with the most descendants, takes over the copy.
#pragma once

#include "csrc/core/ops.h"
#include "csrc/cuda/common/reduce.cuh"

namespace foretoken::cuda {

// Where a visit finds S of the parent: in a copy, or
constexpr int16_t kInRegisters = -1, kInState = -2;

struct Visit {
  int16_t row;     // counted from the sequence's first
  int16_t source;  // a copy, kInRegisters or kInState
  int16_t copy;    // the copy that keeps S of this row, or -1
  bool updates;    // whether any row needs S of this row
};

// The most copies of S for a tree of `rows` nodes. A tree that needs n + 1 copies has a node with two children whose
// subtrees both need n copies; one copy takes a node with two children.
inline int64_t copies_for(int64_t rows) {
  int64_t copies = 0;
  for (int64_t nodes = 3; nodes <= rows; nodes = 2 * nodes + 1) ++copies;
  return copies;
}

// In shared memory. Node 0 is the state, the parent of the roots; node i is row i - 1.
struct Walk {
  Visit visits[kMostRecurrentRows];
  int parents[kMostRecurrentRows + 1];
  int sizes[kMostRecurrentRows + 1];   // of subtrees
  int lasts[kMostRecurrentRows + 1];   // the size of the child to visit last, and in the lower bits the child
  int before[kMostRecurrentRows + 1];  // nodes that are visited between the parent and this node
};

// Fills in the visits of a valid tree. All threads of a block call it; `parents` are those of the sequence's rows, of
// which the first is row `first`. `shared` is that of reduce_block.
template <int kThreads>
FORETOKEN_DEVICE void plan_walk(const int32_t* parents, int first, int rows, Walk& walk, int64_t* shared) {
  constexpr int kNodeBits = 9;
  static_assert(kMostRecurrentRows < 1 << kNodeBits);
  const int thread = static_cast<int>(threadIdx.x);
  int64_t in_line = 1;
  for (int i = thread; i <= rows; i += kThreads) {
    const int parent = i == 0 ? -1 : parents[i - 1];
    walk.parents[i] = parent < 0 ? 0 : parent - first + 1;
    walk.sizes[i] = 0;
    walk.lasts[i] = 0;
    if (i > 1 && walk.parents[i] != i - 1) in_line = 0;
  }
  __syncthreads();
  // A chain is visited in the order of its rows.
  if (reduce_block<kThreads>(in_line, Min(), int64_t{1}, shared) != 0) {
    for (int i = thread; i < rows; i += kThreads) {
      walk.visits[i] = {static_cast<int16_t>(i), i == 0 ? kInState : kInRegisters, -1, i + 1 < rows};
    }
    __syncthreads();
    return;
  }
  for (int i = 1 + thread; i <= rows; i += kThreads) {
    for (int node = i; node != 0; node = walk.parents[node]) atomicAdd(&walk.sizes[node], 1);
  }
  if (thread == 0) walk.sizes[0] = rows + 1;
  __syncthreads();
  for (int i = 1 + thread; i <= rows; i += kThreads) {
    atomicMax(&walk.lasts[walk.parents[i]], walk.sizes[i] << kNodeBits | i);
  }
  __syncthreads();
  const auto last_of = [&](int node) { return walk.lasts[node] & ((1 << kNodeBits) - 1); };
  for (int i = 1 + thread; i <= rows; i += kThreads) {
    const int parent = walk.parents[i];
    int nodes = 0;
    if (last_of(parent) == i) {
      nodes = walk.sizes[parent] - 1 - walk.sizes[i];
    } else {
      for (int j = parent + 1; j < i; ++j) {
        if (walk.parents[j] == parent && last_of(parent) != j) nodes += walk.sizes[j];
      }
    }
    walk.before[i] = nodes;
  }
  __syncthreads();
  for (int i = 1 + thread; i <= rows; i += kThreads) {
    int place = -1, copy = 0;
    for (int node = i; node != 0; node = walk.parents[node]) {
      place += 1 + walk.before[node];
      if (walk.parents[node] != 0 && last_of(walk.parents[node]) != node) ++copy;
    }
    const int parent = walk.parents[i], descendants = walk.sizes[i] - 1;
    const bool is_last = last_of(parent) == i, follows = walk.before[i] == 0;
    const int of_parent = is_last ? copy : copy - 1;
    const bool is_copied = descendants > walk.sizes[last_of(i)];
    walk.visits[place] = {static_cast<int16_t>(i - 1),
                          parent == 0 ? kInState
                          : follows   ? kInRegisters
                                      : static_cast<int16_t>(of_parent),
                          static_cast<int16_t>(is_copied ? copy : -1), descendants > 0};
  }
  __syncthreads();
}

}  // namespace foretoken::cuda
