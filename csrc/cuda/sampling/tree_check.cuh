// Checks that index tensors whose contents only the device knows describe trees and paths: the device's twin of
// find_problem (csrc/core/tree.h), with the same order, limits and texts. A whole block does a check; all of its
// threads get the same answer, and the check reports the first problem. It takes a few loads a row, so every block of a
// kernel repeats it, which saves a launch before the kernel that reads the tree. A check reads nothing out of bounds,
// whatever the indices are.
//   tree_is_valid         TreeRows whose sequences have room for so many positions or rows
//   verify_tree_is_valid  TreeRows to verify: every row descends from its sequence's first, no path is too long
//   paths_are_valid       accepted paths, for KvCompact
//   commit_is_valid       accepted paths, for CommitRecurrent
// `shared` has room for one int64_t a warp. The other functions here walk through trees:
//   rows_in_use           the number of rows before the padding
//   sequence_of           the sequence of a row
//   depth_of              the depth of a row
#pragma once

#include "csrc/core/tree.h"
#include "csrc/cuda/common/reduce.cuh"
#include "csrc/cuda/error_record.h"

namespace foretoken::cuda {

// The number of rows that belong to a sequence; those behind it are padding. At most all rows, whatever the offsets are.
FORETOKEN_DEVICE int64_t rows_in_use(const TreeRows& tree) {
  return Min()(tree.rows, int64_t{tree.row_offsets[tree.sequences]});
}

// The last sequence that begins at `row` or before; some sequence even if the offsets are invalid.
FORETOKEN_DEVICE int64_t sequence_of(const int32_t* row_offsets, int64_t sequences, int64_t row) {
  int64_t low = 0, high = sequences - 1;
  while (low < high) {
    const int64_t middle = (low + high + 1) / 2;
    if (row_offsets[middle] <= row) low = middle;
    else high = middle - 1;
  }
  return low;
}

// The number of a row's ancestors, or `most` if there are more. Terminates whatever the parents are.
FORETOKEN_DEVICE int64_t depth_of(const int32_t* parents, int64_t row, int64_t most) {
  int64_t depth = 0;
  while (depth < most) {
    const int64_t parent = parents[row];
    if (parent < 0 || parent >= row) break;
    row = parent;
    ++depth;
  }
  return depth;
}

// The first problem that the threads of a block find.
class FirstProblem {
 public:
  // Remembers a problem if `argument`[position], which is `value`, does not lie in lowest … highest. Ranks number the
  // checks in the order of find_problem.
  FORETOKEN_DEVICE void look(int64_t rank, Argument argument, int64_t position, int64_t value, int64_t lowest,
                             int64_t highest, Bound bound = Bound::kPlain) {
    if ((value >= lowest && value <= highest) || rank >= rank_) return;
    rank_ = rank;
    argument_ = argument;
    position_ = position;
    value_ = value;
    lowest_ = lowest;
    highest_ = highest;
    bound_ = bound;
  }

  // Returns true to all threads of the block if no thread has found a problem; otherwise reports the first.
  template <int kThreads>
  FORETOKEN_DEVICE bool none(const Reporter& reporter, int64_t* shared) const {
    const int64_t first = reduce_block<kThreads>(rank_, Min(), kNoRank, shared);
    if (first == kNoRank) return true;
    if (first == rank_) reporter.check(argument_, position_, value_, lowest_, highest_, bound_);
    return false;
  }

 private:
  static constexpr int64_t kNoRank = INT64_MAX;

  int64_t rank_ = kNoRank, position_ = 0, value_ = 0, lowest_ = 0, highest_ = 0;
  Argument argument_ = Argument::kEnd;
  Bound bound_ = Bound::kPlain;
};

// Checks the rows of each sequence, and that they fit behind its committed positions unless `lengths` is null. Returns
// the rank after the last of these checks.
FORETOKEN_DEVICE int64_t look_at_sequences(const int32_t* row_offsets, const int32_t* lengths, int64_t sequences,
                                           const Room& room, FirstProblem& problem) {
  const bool limited = room.most != nullptr;
  if (threadIdx.x == 0) problem.look(0, Argument::kRowOffsets, 0, row_offsets[0], 0, 0);
  for (int64_t s = threadIdx.x; s < sequences; s += blockDim.x) {
    const int64_t first = row_offsets[s], end = row_offsets[s + 1], most = limited ? room.most[s] : kNoCapacity;
    problem.look(1 + 2 * s, Argument::kRowOffsets, s + 1, end, first, first + most,
                 limited ? room.bound : Bound::kPlain);
    if (lengths == nullptr) continue;
    problem.look(2 + 2 * s, Argument::kLengths, s, lengths[s], 0, most - (end - first),
                 limited ? Bound::kRoom : Bound::kPlain);
  }
  return 2 * sequences + 1;
}

// Checks that all rows of the sequences exist.
FORETOKEN_DEVICE void look_at_rows(int64_t rank, const int32_t* row_offsets, int64_t sequences, int64_t rows,
                                   FirstProblem& problem) {
  if (threadIdx.x > 0) return;
  problem.look(rank, Argument::kRowOffsets, sequences, row_offsets[sequences], 0, rows, Bound::kRowCount);
}

// Checks accepted paths among the rows of each sequence.
FORETOKEN_DEVICE void look_at_paths(int64_t rank, const int32_t* row_offsets, const int32_t* path,
                                    const int32_t* counts, int64_t sequences, int64_t stride, FirstProblem& problem) {
  const auto rank_of = [&](int64_t s) { return rank + s * (stride + 1); };
  for (int64_t s = threadIdx.x; s < sequences; s += blockDim.x) {
    const int64_t rows = int64_t{row_offsets[s + 1]} - row_offsets[s];
    problem.look(rank_of(s), Argument::kCounts, s, counts[s], 0, Min()(stride, rows), Bound::kPathRows);
  }
  for (int64_t at = threadIdx.x; at < sequences * stride; at += blockDim.x) {
    const int64_t s = at / stride, i = at % stride;
    if (i >= counts[s]) continue;
    const int64_t lowest = i == 0 ? row_offsets[s] : int64_t{path[at - 1]} + 1;
    problem.look(rank_of(s) + 1 + i, Argument::kPath, at, path[at], lowest, int64_t{row_offsets[s + 1]} - 1,
                 Bound::kRisingRows);
  }
}

// Checks row offsets, lengths and parents. Returns the rank after the last of these checks.
FORETOKEN_DEVICE int64_t look_at_tree(const TreeRows& tree, const Room& room, FirstProblem& problem) {
  const int64_t rank = look_at_sequences(tree.row_offsets, tree.lengths, tree.sequences, room, problem);
  look_at_rows(rank, tree.row_offsets, tree.sequences, tree.rows, problem);
  for (int64_t r = threadIdx.x; r < rows_in_use(tree); r += blockDim.x) {
    const int64_t parent = tree.parents[r];
    if (parent == -1) continue;
    const int64_t first = tree.row_offsets[sequence_of(tree.row_offsets, tree.sequences, r)];
    problem.look(rank + 1 + r, Argument::kParents, r, parent, first, r - 1, Bound::kEarlierRowsOrNone);
  }
  return rank + 1 + tree.rows;
}

template <int kThreads>
FORETOKEN_DEVICE bool tree_is_valid(const TreeRows& tree, const Room& room, const Reporter& reporter, int64_t* shared) {
  FirstProblem problem;
  look_at_tree(tree, room, problem);
  return problem.none<kThreads>(reporter, shared);
}

template <int kThreads>
FORETOKEN_DEVICE bool verify_tree_is_valid(const TreeRows& tree, int64_t path_stride, const Reporter& reporter,
                                           int64_t* shared) {
  FirstProblem problem;
  const int64_t rank = look_at_tree(tree, Room{nullptr}, problem);
  for (int64_t r = threadIdx.x; r < rows_in_use(tree); r += blockDim.x) {
    const int64_t root = tree.row_offsets[sequence_of(tree.row_offsets, tree.sequences, r)], parent = tree.parents[r];
    if (r == root) problem.look(rank + r, Argument::kParents, r, parent, -1, -1, Bound::kRootFirst);
    else problem.look(rank + r, Argument::kParents, r, parent, root, r - 1, Bound::kEarlierRows);
    // The first row that is too deep is too deep by one, so its reported depth is exact.
    problem.look(rank + tree.rows + r, Argument::kDepthOfRow, r, depth_of(tree.parents, r, path_stride), 0,
                 path_stride - 1, Bound::kMaxDepth);
  }
  return problem.none<kThreads>(reporter, shared);
}

template <int kThreads>
FORETOKEN_DEVICE bool paths_are_valid(const KvCompactArgs& args, const Reporter& reporter, int64_t* shared) {
  const int64_t sequences = args.cache.sequences;
  FirstProblem problem;
  const int64_t rank = look_at_sequences(args.row_offsets, args.lengths, sequences, {args.cache.reserved}, problem);
  look_at_paths(rank, args.row_offsets, args.path, args.counts, sequences, args.path_stride, problem);
  return problem.none<kThreads>(reporter, shared);
}

template <int kThreads>
FORETOKEN_DEVICE bool commit_is_valid(const CommitRecurrentArgs& args, const Reporter& reporter, int64_t* shared) {
  const Room room = {args.states.room, Bound::kStateRows};
  FirstProblem problem;
  const int64_t rank = look_at_sequences(args.row_offsets, nullptr, args.sequences, room, problem);
  look_at_rows(rank, args.row_offsets, args.sequences, args.rows, problem);
  look_at_paths(rank + 1, args.row_offsets, args.path, args.counts, args.sequences, args.path_stride, problem);
  return problem.none<kThreads>(reporter, shared);
}

}  // namespace foretoken::cuda
