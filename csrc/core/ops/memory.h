// Operations on plain memory, and the device's clock.
#pragma once

#include <cstdint>

#include "csrc/core/dtype.h"

namespace foretoken {

// out[i] = value
struct FillArgs {
  void* out;  // [count]
  int64_t count;
  float value;
  DType dtype;
};

// out = in, device to device; the two ranges do not overlap
struct CopyArgs {
  const void* in;
  void* out;
  int64_t bytes;
};

// out[i] = in[i], converted to another floating dtype and rounded to nearest even
struct CastArgs {
  const void* in;  // [count]
  DType in_dtype;
  void* out;  // [count]
  DType out_dtype;
  int64_t count;
};

// out[0] = microseconds of a monotonic clock, modulo 2^32, when the stream reaches this operation
struct TimestampArgs {
  int32_t* out;  // [1]
};

}  // namespace foretoken
