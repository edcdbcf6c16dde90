// What makes the index tensors of a draft tree well formed: one definition for the boundary, which knows the contents
// that came from the host, and for the kernels, which know the rest.
#pragma once

#include <cstdint>
#include <string>

#include "csrc/core/ops.h"

namespace foretoken {

// What a limit comes from, where that is not plain.
enum class Bound : uint32_t {
  kPlain,
  kCapacity,
  kRoom,
  kRowCount,
  kEarlierRows,
  kEarlierRowsOrNone,
  kRootFirst,
  kMaxDepth,
  kPathRows,
  kRisingRows,
};

// Null for kPlain.
const char* text_of(Bound bound);

// `argument`[position] is `value`, but must be in lowest … highest.
struct IndexProblem {
  const char* argument;
  int64_t position, value, lowest, highest;
  Bound bound = Bound::kPlain;
};

std::string text_of(const IndexProblem& problem);

// Room in a sequence where no cache sets a limit: positions and rows are int32.
constexpr int64_t kNoCapacity = INT32_MAX - 1;

// The first thing that is wrong with a tree of which every sequence has room for `capacity` positions. Arrays that
// are null are not looked at.
bool find_problem(const TreeRows& tree, int64_t capacity, IndexProblem* problem);

// The same for a tree to verify: the first row of a sequence, if it has any, is its root and all others hang on it, and
// `path_stride` holds the longest path.
bool find_problem(const VerifyTreeArgs& args, IndexProblem* problem);

// Depth of the deepest row of a well-formed tree.
int64_t deepest(const TreeRows& tree);

// The same for the accepted paths and the slots that they stand for.
bool find_problem(const KvCompactArgs& args, IndexProblem* problem);

}  // namespace foretoken
