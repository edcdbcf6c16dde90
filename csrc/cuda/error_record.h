// Errors that only the data can show and that a kernel finds: an index out of range, a row without a token to draw. The
// first operation that finds one keeps it in a record in device memory; the next readback hands the record to the host
// and clears it. Until then, kernels that change existing values (weights, caches, gradients that are added to) check
// `has_error` and do nothing.
#pragma once

#include <cstdint>
#include <optional>

#include "csrc/core/error.h"
#include "csrc/core/tree.h"
#include "csrc/cuda/platform.h"

namespace foretoken::cuda {

// The arguments that messages name. Of several invalid ones, the first in this order is reported.
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
  kLogitBias,
  kHistoryLengths,
  kHistory,
  kOpen,
  kNothingToDraw,  // not an index: `position` is the row, `value` the position of the token
  kEnd,
};
static_assert(static_cast<int>(Argument::kEnd) <= 32);  // ErrorRecord::key has 5 bits for an argument

struct ErrorRecord {
  uint32_t launch;         // the operation that found an error, counted from 1; 0: no error
  unsigned long long key;  // the lowest error by argument, then position, then value
  const char* op;          // a string of the host
  struct Limits {
    long long lowest, highest;  // highest of kStarts is the last row of a sequence, because every row has its own limit
    uint32_t bound;
  } limits[static_cast<int>(Argument::kEnd)];
  // Factors for products of cuBLAS, which cannot check has_error: `one` is 1, and the first error sets the other to 0.
  float one, one_without_error;
  uint32_t arrivals;  // see is_last_block; 0 between kernels
};

// A record without an error.
ErrorRecord empty_record();

// The error that the record holds, if any.
std::optional<Error> error_of(const ErrorRecord& record);

// Reports errors; kernels take it by value.
struct Reporter {
  ErrorRecord* record;
  const char* op;
  uint32_t launch;

  // Returns whether `value` lies in lowest … highest, and reports it if not. `position` is its index in the argument.
  __device__ bool check(Argument argument, int64_t position, int64_t value, int64_t lowest, int64_t highest,
                        Bound bound = Bound::kPlain) const;
  // Reports any value. Every thread that reports an argument sets its limits, so all must pass the same.
  __device__ void report(Argument argument, int64_t position, int64_t value, int64_t lowest, int64_t highest,
                         Bound bound = Bound::kPlain) const;
  // Reports that a row has no token to draw for `position`: nothing_to_draw of csrc/core/sampling.h.
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
  // 5 bits of argument, 27 of position, 32 of value.
  atomicMin(&record->key, static_cast<unsigned long long>(argument) << 59 |
                              (static_cast<unsigned long long>(position) & 0x7ffffff) << 32 |
                              static_cast<uint32_t>(value));
}

__device__ inline void Reporter::report_nothing_to_draw(int64_t row, int64_t position) const {
  report(Argument::kNothingToDraw, row, position, 0, 0);
}

#endif

}  // namespace foretoken::cuda
