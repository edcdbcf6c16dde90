// How attention over the KV cache is cut, so that a row's sums depend on nothing but the row.
//
// The logical positions of a row, its committed prefix and then its ancestors, itself last, are cut into chunks, and
// those into units. A unit is what one warp reduces; the units of a chunk, and then the chunks, are merged in order.
// Where the cuts are depends on the positions alone.
//
// A block takes up to kQueries queries at once, which share a key/value head: query q of a sequence is query head
// q % group of the group that shares it, in row q / group of the sequence. In the prefix all queries read the same
// slots. Near the end, where the ancestors of each row lie in slots of their own, a unit is passed once a row, and each
// pass keeps the queries of its row: so a query goes through the same instructions everywhere.
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
  int32_t before;                                // queries of the first row that are in the tile before
  int32_t count;                                 // queries here, may be 0
  int32_t rows;                                  // to which they belong

  // Of query q, counted from `row`.
  FORETOKEN_DEVICE int32_t row_of(int32_t q) const { return (before + q) / group; }
  FORETOKEN_DEVICE int32_t head_of(int32_t q) const { return (before + q) % group; }
  // Queries of the rows before `row` + r.
  FORETOKEN_DEVICE int32_t queries_before(int32_t r) const {
    const int32_t queries = r * group - before;
    return queries < 0 ? 0 : queries < count ? queries : count;
  }
};

// Sequence s has the tiles from this one on; there are enough for its rows.
FORETOKEN_HOST_DEVICE int64_t first_tile(int64_t row_offset, int64_t sequence, int64_t group) {
  return row_offset * group / kQueries + sequence;
}

// Reads nothing out of bounds if the tree is bad.
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

// The logical positions of a row; those before `in_line` lie in the slot of the same number.
struct Place {
  int32_t in_line, positions;
};

// How many rows at the beginning of the sequence hang each on the one before, up to the tile's last; by a whole block.
FORETOKEN_DEVICE int64_t leading_chain(const TreeRows& tree, const Tile& tile, int64_t* shared) {
  const int64_t last = tile.row + tile.rows;
  int64_t end = last;
  for (int64_t r = tile.first_row + threadIdx.x; r < end; r += kThreads) {
    if (tree.parents[r] != (r == tile.first_row ? -1 : r - 1)) end = r;
  }
  return reduce_block<kThreads>(end, Min(), last, shared) - tile.first_row;
}

FORETOKEN_DEVICE Place place_of(const TreeRows& tree, const Tile& tile, int64_t chain, int64_t row) {
  int32_t others = 0;
  for (; row >= tile.first_row + chain; row = tree.parents[row]) ++others;
  const auto in_line = static_cast<int32_t>(tile.length + (row < 0 ? 0 : row - tile.first_row + 1));
  return {in_line, in_line + others};
}

// slots[i] of position first + i of a row, -1 behind its last; by a whole warp.
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

// What a part of a row's scores comes to: the largest, and the sum of exponentials of the distance to it.
struct Softmax {
  float largest, sum;
};

// What exponents are counted from.
FORETOKEN_DEVICE float reference_of(float largest) { return largest == -INFINITY ? 0.0f : largest; }

// How two neighbouring parts of a row become one.
struct Merge {
  Softmax softmax;
  float before, behind;  // factors of their sums of values

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
