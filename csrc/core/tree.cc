#include "csrc/core/tree.h"

#include <algorithm>
#include <cstdio>
#include <vector>

#include "csrc/core/error.h"

namespace foretoken {

namespace {

// Whether `found` violates its own limits; if so, stores it in *problem.
bool is_problem(const IndexProblem& found, IndexProblem* problem) {
  if (found.value >= found.lowest && found.value <= found.highest) return false;
  *problem = found;
  return true;
}

// Checks the rows of each sequence, and that they fit behind its committed positions.
bool sequences_have_problem(const int32_t* row_offsets, const int32_t* lengths, int64_t sequences, const Room& room,
                            IndexProblem* problem) {
  if (row_offsets == nullptr) return false;
  const bool limited = room.most != nullptr;
  if (is_problem({"rowOffsets", 0, row_offsets[0], 0, 0}, problem)) return true;
  for (int64_t s = 0; s < sequences; ++s) {
    const int64_t first = row_offsets[s], end = row_offsets[s + 1], most = limited ? room.most[s] : kNoCapacity;
    if (is_problem({"rowOffsets", s + 1, end, first, first + most, limited ? room.bound : Bound::kPlain}, problem)) {
      return true;
    }
    const IndexProblem length = {
        "lengths", s, lengths ? lengths[s] : 0, 0, most - (end - first), limited ? Bound::kRoom : Bound::kPlain};
    if (is_problem(length, problem)) return true;
  }
  return false;
}

// Checks that all rows of the sequences, whose offsets are in order, exist.
bool rows_have_problem(const int32_t* row_offsets, int64_t sequences, int64_t rows, IndexProblem* problem) {
  return is_problem({"rowOffsets", sequences, row_offsets[sequences], 0, rows, Bound::kRowCount}, problem);
}

// Checks accepted paths among the rows of each sequence, whose offsets are in order.
bool paths_have_problem(const int32_t* row_offsets, const int32_t* path, const int32_t* counts, int64_t sequences,
                        int64_t stride, IndexProblem* problem) {
  if (counts == nullptr) return false;
  for (int64_t s = 0; s < sequences; ++s) {
    const int64_t first = row_offsets[s], end = row_offsets[s + 1];
    if (is_problem({"counts", s, counts[s], 0, std::min(stride, end - first), Bound::kPathRows}, problem)) return true;
    if (path == nullptr) continue;
    int64_t lowest = first;
    for (int64_t i = s * stride; i < s * stride + counts[s]; ++i) {
      if (is_problem({"path", i, path[i], lowest, end - 1, Bound::kRisingRows}, problem)) return true;
      lowest = path[i] + 1;
    }
  }
  return false;
}

// Depth of each row of a tree in which parents precede their children, without padding.
std::vector<int64_t> depths_of(const TreeRows& tree) {
  std::vector<int64_t> depths(static_cast<size_t>(tree.row_offsets[tree.sequences]));
  for (size_t r = 0; r < depths.size(); ++r) {
    if (tree.parents[r] >= 0) depths[r] = depths[static_cast<size_t>(tree.parents[r])] + 1;
  }
  return depths;
}

}  // namespace

const char* text_of(Bound bound) {
  switch (bound) {
    case Bound::kPlain: break;
    case Bound::kReserved: return "the positions reserved for the sequence";
    case Bound::kRoom: return "the positions reserved for the sequence minus its rows";
    case Bound::kStateRows: return "at most 256 rows a sequence, none before its state is reserved";
    case Bound::kRowCount: return "the number of rows";
    case Bound::kEarlierRows: return "earlier rows of the sequence";
    case Bound::kEarlierRowsOrNone: return "earlier rows of the sequence, or -1";
    case Bound::kRootFirst: return "the first row of a sequence is its root";
    case Bound::kMaxDepth: return "maxDepth";
    case Bound::kPathRows: return "the rows of the sequence and the columns of path";
    case Bound::kRisingRows: return "ascending rows of the sequence";
    case Bound::kResultRows: return "the rows that the results have room for";
  }
  return nullptr;
}

std::string text_of(const IndexProblem& problem) {
  const char* const bound = text_of(problem.bound);
  char text[256];
  std::snprintf(text, sizeof text, "%s[%lld] is %lld, but must be in %lld … %lld%s%s%s", problem.argument,
                lld(problem.position), lld(problem.value), lld(problem.lowest), lld(problem.highest), bound ? " (" : "",
                bound ? bound : "", bound ? ")" : "");
  return text;
}

bool find_problem(const TreeRows& tree, const Room& room, IndexProblem* problem) {
  const int32_t* const offsets = tree.row_offsets;
  if (offsets == nullptr) return false;
  if (sequences_have_problem(offsets, tree.lengths, tree.sequences, room, problem)) return true;
  if (rows_have_problem(offsets, tree.sequences, tree.rows, problem)) return true;
  if (tree.parents == nullptr) return false;
  for (int64_t s = 0; s < tree.sequences; ++s) {
    const int64_t first = offsets[s];
    for (int64_t r = first; r < offsets[s + 1]; ++r) {
      if (tree.parents[r] == -1) continue;
      if (is_problem({"parents", r, tree.parents[r], first, r - 1, Bound::kEarlierRowsOrNone}, problem)) return true;
    }
  }
  return false;
}

bool find_problem(const VerifyTreeArgs& args, IndexProblem* problem) {
  const TreeRows& tree = args.tree;
  if (find_problem(tree, Room{nullptr}, problem)) return true;
  if (tree.row_offsets == nullptr || tree.parents == nullptr) return false;
  for (int64_t s = 0; s < tree.sequences; ++s) {
    const int64_t root = tree.row_offsets[s], end = tree.row_offsets[s + 1];
    if (root == end) continue;
    if (is_problem({"parents", root, tree.parents[root], -1, -1, Bound::kRootFirst}, problem)) {
      return true;
    }
    for (int64_t r = root + 1; r < end; ++r) {
      if (is_problem({"parents", r, tree.parents[r], root, r - 1, Bound::kEarlierRows}, problem)) return true;
    }
  }
  const std::vector<int64_t> depths = depths_of(tree);
  for (size_t r = 0; r < depths.size(); ++r) {
    const IndexProblem depth = {"depth of row",       static_cast<int64_t>(r), depths[r], 0,
                                args.path_stride - 1, Bound::kMaxDepth};
    if (is_problem(depth, problem)) return true;
  }
  return false;
}

int64_t deepest(const TreeRows& tree) {
  const std::vector<int64_t> depths = depths_of(tree);
  return depths.empty() ? 0 : *std::max_element(depths.begin(), depths.end());
}

bool find_problem(const KvCompactArgs& args, IndexProblem* problem) {
  const int64_t sequences = args.cache.sequences;
  if (sequences_have_problem(args.row_offsets, args.lengths, sequences, {args.cache.reserved}, problem)) return true;
  if (args.row_offsets == nullptr) return false;
  return paths_have_problem(args.row_offsets, args.path, args.counts, sequences, args.path_stride, problem);
}

bool find_problem(const CommitRecurrentArgs& args, IndexProblem* problem) {
  const int32_t* const offsets = args.row_offsets;
  if (offsets == nullptr) return false;
  const Room room = {args.states.room, Bound::kStateRows};
  return sequences_have_problem(offsets, nullptr, args.sequences, room, problem) ||
         rows_have_problem(offsets, args.sequences, args.rows, problem) ||
         paths_have_problem(offsets, args.path, args.counts, args.sequences, args.path_stride, problem);
}

bool find_problem(const AcceptedRowsArgs& args, IndexProblem* problem) {
  const int32_t* const counts = args.counts;
  const int32_t* const open = args.open;
  const int64_t highest = INT32_MAX - args.sequences * args.most_open;
  for (int64_t s = 0; s < args.sequences; ++s) {
    if (counts && is_problem({"counts", s, counts[s], 0, args.path_stride}, problem)) return true;
    if (open && is_problem({"open", s, open[s], 0, args.most_open}, problem)) return true;
    if (counts == nullptr || open == nullptr) continue;
    const int64_t length = args.lengths ? args.lengths[s] : open[s];
    if (is_problem({"lengths", s, length, open[s], kNoCapacity - counts[s]}, problem)) return true;
    if (args.path == nullptr) continue;
    for (int64_t i = s * args.path_stride; i < s * args.path_stride + counts[s]; ++i) {
      if (is_problem({"path", i, args.path[i], 0, highest}, problem)) return true;
    }
  }
  if (counts == nullptr || open == nullptr) return false;
  int64_t rows = 0;
  for (int64_t s = 0; s < args.sequences; ++s) {
    if (counts[s] > 0) rows += int64_t{open[s]} + counts[s];
    if (is_problem({"rowOffsets", s + 1, rows, 0, args.rows, Bound::kResultRows}, problem)) return true;
  }
  return false;
}

bool find_problem(const ChainTokensArgs& args, IndexProblem* problem) {
  const int32_t* const offsets = args.row_offsets;
  if (offsets == nullptr) return false;
  if (is_problem({"rowOffsets", 0, offsets[0], 0, 0}, problem)) return true;
  for (int64_t s = 0; s < args.sequences; ++s) {
    const int64_t highest = std::min(offsets[s] + args.columns, args.rows);
    if (is_problem({"rowOffsets", s + 1, offsets[s + 1], offsets[s], highest}, problem)) return true;
  }
  return false;
}

}  // namespace foretoken
