// Errors that only the data can show (an index out of range, a row without a token to draw), met by a kernel. The first
// operation that meets one keeps it in a record in device memory; the next readback hands it to the host and clears it.
// Until then kernels that change what was there before (weights, caches, gradients that are added to) do nothing:
// `has_error`.
#pragma once

#include <cstdint>
#include <optional>

#include "csrc/core/error.h"
#include "csrc/core/tree.h"
#include "csrc/cuda/platform.h"

namespace foretoken::cuda {

// The arguments that messages name; of several bad ones the first in this order is reported.
enum class Argument : uint32_t {
  kRowOffsets,
  kLengths,
  kParents,
  kDepthOfRow,
  kTokens,
  kTargets,
  kPositions,
  kStarts,
  kPath,
  kCounts,
  kDepths,
  kRanks,
  kLogitBias,
  kHistoryLengths,
  kHistory,
  kNothingToDraw,  // not an index: `position` is the row, `value` the position of the token
  kEnd,
};
static_assert(static_cast<int>(Argument::kEnd) <= 16);  // the key has 4 bits for them

struct ErrorRecord {
  uint32_t launch;         // the operation that met it, counted from 1; 0: there is none
  unsigned long long key;  // the lowest of argument, position and value, in falling significance
  const char* op;          // a string of the host
  struct Limits {
    long long lowest, highest;  // of kStarts: the last row of a sequence, since each row has a limit of its own
    uint32_t bound;
  } limits[static_cast<int>(Argument::kEnd)];
  // For products of a library that knows of no errors: 1, and what becomes 0 with the first error.
  float one, one_without_error;
  uint32_t arrivals;  // see is_last_block; 0 between kernels
};

// A record with nothing in it.
ErrorRecord empty_record();

// What the record says, or nothing.
std::optional<Error> error_of(const ErrorRecord& record);

// How a kernel reports; passed to it by value.
struct Reporter {
  ErrorRecord* record;
  const char* op;
  uint32_t launch;

  // Says whether value lies in lowest … highest, and reports it if it does not. `position` is its index in the
  // argument.
  __device__ bool check(Argument argument, int64_t position, int64_t value, int64_t lowest, int64_t highest,
                        Bound bound = Bound::kPlain) const;
  // Reports it whatever the value. Any thread that reports an argument sets its limits, so they must be the same for
  // all.
  __device__ void report(Argument argument, int64_t position, int64_t value, int64_t lowest, int64_t highest,
                         Bound bound = Bound::kPlain) const;
  // Reports that no token can be drawn for `position` from a row: nothing_to_draw of csrc/core/sampling.h.
  __device__ void report_nothing_to_draw(int64_t row, int64_t position) const;
};

#if defined(__CUDACC__) || defined(FORETOKEN_EMULATED)

FORETOKEN_DEVICE bool has_error(const ErrorRecord* record) {
  return *const_cast<const volatile uint32_t*>(&record->launch) != 0;
}

__device__ inline bool Reporter::check(Argument argument, int64_t position, int64_t value, int64_t lowest,
                                       int64_t highest, Bound bound) const {
  if (value >= lowest && value <= highest) return true;
  report(argument, position, value, lowest, highest, bound);
  return false;
}

__device__ inline void Reporter::report(Argument argument, int64_t position, int64_t value, int64_t lowest,
                                        int64_t highest, Bound bound) const {
  const uint32_t first = atomicCAS(&record->launch, 0u, launch);
  if (first != 0 && first != launch) return;
  atomicExch(&record->one_without_error, 0.0f);
  auto& limits = record->limits[static_cast<int>(argument)];
  atomicExch(reinterpret_cast<unsigned long long*>(&limits.lowest), static_cast<unsigned long long>(lowest));
  atomicExch(reinterpret_cast<unsigned long long*>(&limits.highest), static_cast<unsigned long long>(highest));
  atomicExch(&limits.bound, static_cast<uint32_t>(bound));
  atomicExch(reinterpret_cast<unsigned long long*>(&record->op), reinterpret_cast<unsigned long long>(op));
  // 4 bits, 28 bits, 32 bits.
  atomicMin(&record->key, static_cast<unsigned long long>(argument) << 60 |
                              (static_cast<unsigned long long>(position) & 0xfffffff) << 32 |
                              static_cast<uint32_t>(value));
}

__device__ inline void Reporter::report_nothing_to_draw(int64_t row, int64_t position) const {
  report(Argument::kNothingToDraw, row, position, 0, 0);
}

#endif

}  // namespace foretoken::cuda
