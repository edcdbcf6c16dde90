// Defines which index tensors describe a well-formed draft tree: once, for the addon, which knows contents that were
// uploaded, and for the kernels, which see all others.
#pragma once

#include <cstdint>
#include <string>

#include "csrc/core/ops.h"

namespace foretoken {

// Where a limit comes from, for the message.
enum class Bound : uint32_t {
  kPlain,  // the limit needs no explanation
  kReserved,
  kRoom,
  kStateRows,
  kRowCount,
  kEarlierRows,
  kEarlierRowsOrNone,
  kRootFirst,
  kMaxDepth,
  kPathRows,
  kRisingRows,
  kResultRows,
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

// The room of a sequence if no cache limits it: positions and rows are int32.
constexpr int64_t kNoCapacity = INT32_MAX - 1;

// How many positions or rows each sequence has room for, any number if `most` is null, and where these limits come from.
struct Room {
  const int32_t* most;  // [sequences]
  Bound bound = Bound::kReserved;
};

// Finds the first problem of a tree; returns false if there is none. Skips the checks of arrays that are null.
bool find_problem(const TreeRows& tree, const Room& room, IndexProblem* problem);

// The same for a tree to verify: the first row of a sequence, if it has any, must be its root and the ancestor of all
// others, and the longest path must fit in `path_stride`.
bool find_problem(const VerifyTreeArgs& args, IndexProblem* problem);

// The same for accepted paths and the cache slots that they name.
bool find_problem(const KvCompactArgs& args, IndexProblem* problem);

// The same for accepted paths and the states to which they are committed.
bool find_problem(const CommitRecurrentArgs& args, IndexProblem* problem);

// The same for accepted paths and the open positions before them.
bool find_problem(const AcceptedRowsArgs& args, IndexProblem* problem);

// The same for the rows of a chain for each sequence.
bool find_problem(const ChainTokensArgs& args, IndexProblem* problem);

// Returns the depth of the deepest row of a well-formed tree, or 0 if it has only padding.
int64_t deepest(const TreeRows& tree);

}  // namespace foretoken
