// How attention over the KV cache is cut, so that a row's sums depend on the row alone.
//
// The logical positions of a row are its committed prefix, then its ancestors, then itself. They are cut into chunks,
// and chunks into units. One warp reduces a unit; units of a chunk, and then chunks, are merged in order. The cuts
// depend on the positions alone. A row merges only the units and chunks that its window reaches.
//
// A block takes up to kQueries queries at once, which share a key/value head: query q of a sequence is query head q %
// group of the heads that share it, in row q / group of the sequence. In the prefix all queries read the same slots.
// Near the end, where every row's ancestors lie in other slots, a warp goes over its unit once for each row and keeps
// the results of that row's queries. So a query's result takes the same instructions everywhere.
#pragma once

#include <cmath>

#include "csrc/cuda/common/exp.cuh"
#include "csrc/cuda/common/reduce.cuh"
#include "csrc/cuda/sampling/tree_check.cuh"

namespace foretoken::cuda::tree_attention {

constexpr int kUnit = 64, kUnits = 4, kChunk = kUnit * kUnits;  // logical positions
constexpr int kThreads = kUnits * kWarp;
constexpr int kQueries = 16;

// Neighbouring queries of one sequence.
struct Tile {
  int64_t sequence, first_row, end_row, length;  // of the sequence
  int64_t row;                                   // the first one here
  int32_t group;                                 // queries of a row
  int32_t before;                                // queries of the first row that belong to the tile before
  int32_t count;                                 // queries here, may be 0
  int32_t rows;                                  // rows to which they belong

  // The row of query q, counted from `row`, and its head within the group.
  FORETOKEN_DEVICE int32_t row_of(int32_t q) const { return (before + q) / group; }
  FORETOKEN_DEVICE int32_t head_of(int32_t q) const { return (before + q) % group; }
  // The number of the tile's queries that belong to rows before `row` + r.
  FORETOKEN_DEVICE int32_t queries_before(int32_t r) const {
    const int32_t queries = r * group - before;
    return queries < 0 ? 0 : queries < count ? queries : count;
  }
};

// The first tile of a sequence that begins at `row_offset`. Before the next sequence's first tile there are enough for
// its rows.
FORETOKEN_HOST_DEVICE int64_t first_tile(int64_t row_offset, int64_t sequence, int64_t group) {
  return row_offset * group / kQueries + sequence;
}

// Reads nothing out of bounds, even from an invalid tree.
FORETOKEN_DEVICE Tile tile_of(const TreeRows& tree, int32_t group, int64_t number) {
  int64_t low = 0, high = tree.sequences - 1;
  while (low < high) {
    const int64_t middle = (low + high + 1) / 2;
    if (first_tile(tree.row_offsets[middle], middle, group) <= number) low = middle;
    else high = middle - 1;
  }
  const int64_t first_row = tree.row_offsets[low], end_row = tree.row_offsets[low + 1];
  const int64_t first = (number - first_tile(first_row, low, group)) * kQueries, row = first / group;
  const int64_t left = (end_row - first_row) * group - first;
  Tile tile{low, first_row, end_row, tree.lengths[low], first_row + row, group, 0, 0, 0};
  tile.before = static_cast<int32_t>(first - row * group);
  tile.count = static_cast<int32_t>(left < 0 ? 0 : left < kQueries ? left : kQueries);
  tile.rows = tile.count == 0 ? 0 : tile.row_of(tile.count - 1) + 1;
  return tile;
}

// The number of logical positions of a row, of which it attends to those from `first` on; positions before `in_line` lie
// in the slot of the same number.
struct Place {
  int32_t in_line, positions, first;
};

// How many rows at the beginning of the sequence, up to the tile's last, are each the child of the row before. Called
// by a whole block.
FORETOKEN_DEVICE int64_t leading_chain(const TreeRows& tree, const Tile& tile, int64_t* shared) {
  const int64_t last = tile.row + tile.rows;
  int64_t end = last;
  for (int64_t r = tile.first_row + threadIdx.x; r < end; r += kThreads) {
    if (tree.parents[r] != (r == tile.first_row ? -1 : r - 1)) end = r;
  }
  return reduce_block<kThreads>(end, Min(), last, shared) - tile.first_row;
}

FORETOKEN_DEVICE Place place_of(const TreeRows& tree, const Tile& tile, int64_t chain, int64_t row, int32_t window) {
  int32_t others = 0;
  for (; row >= tile.first_row + chain; row = tree.parents[row]) ++others;
  const auto in_line = static_cast<int32_t>(tile.length + (row < 0 ? 0 : row - tile.first_row + 1));
  const int32_t positions = in_line + others;
  return {in_line, positions, Max()(0, positions - window)};
}

// Writes to slots[i] the slot of a row's position first + i, or -1 after its last. Called by a whole warp.
FORETOKEN_DEVICE void find_slots(const TreeRows& tree, const Tile& tile, const Place& place, int64_t row, int32_t first,
                                 int32_t* slots) {
  const int lane = threadIdx.x % kWarp;
  for (int i = lane; i < kUnit; i += kWarp) {
    const int32_t position = first + i;
    if (position < place.in_line) slots[i] = position;
    else if (position >= place.positions) slots[i] = -1;
  }
  const int32_t lowest = place.in_line > first ? place.in_line : first;
  if (lowest >= first + kUnit) return;
  for (int32_t position = place.positions - 1; position >= lowest; --position) {
    if (lane == 0 && position < first + kUnit) {
      slots[position - first] = static_cast<int32_t>(tile.length + row - tile.first_row);
    }
    row = tree.parents[row];
  }
}

// The softmax of a part of a row's scores: the largest score, and the sum of exponentials of the distances to it.
struct Softmax {
  float largest, sum;
};

// The score that exponents are relative to.
FORETOKEN_DEVICE float reference_of(float largest) { return largest == -INFINITY ? 0.0f : largest; }

// Merges two neighbouring parts of a row.
struct Merge {
  Softmax softmax;
  float before, behind;  // factors of the sums of values of the first and the second part

  FORETOKEN_DEVICE Merge(const Softmax& first, const Softmax& second) {
    softmax.largest = fmaxf(first.largest, second.largest);
    const float reference = reference_of(softmax.largest);
    before = exp(first.largest - reference);
    behind = exp(second.largest - reference);
    softmax.sum = of(first.sum, second.sum);
  }

  FORETOKEN_DEVICE float of(float first, float second) const { return fmaf(second, behind, first * before); }
};

}  // namespace foretoken::cuda::tree_attention
