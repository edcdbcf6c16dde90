// The kernels: every operation as `run(args, context)`, found by overload.
#pragma once

#include "csrc/core/backend.h"
#include "csrc/cuda/context.h"

namespace foretoken::cuda {

#define FORETOKEN_DECLARE(Name) void run(const Name##Args& args, const Context& context);
FORETOKEN_STREAM_OPS(FORETOKEN_DECLARE)
#undef FORETOKEN_DECLARE

#define FORETOKEN_DECLARE(Name) int64_t workspace(const Name##Args& args, const Context& context);
FORETOKEN_WORKSPACE_OPS(FORETOKEN_DECLARE)
#undef FORETOKEN_DECLARE

// Moves what the record holds to *taken, in pinned memory, and clears the record.
void take_error(const Context& context, ErrorRecord* taken);

// Enqueues what measures the ceilings of this device; the stream's clock, in nanoseconds, goes to times[0 … kTimes - 1]
// in pinned memory, from which `rates_of` computes the rates once all that has run. `scratch` is kScratchBytes of
// device memory.
struct Measurement {
  static constexpr int kTimes = 16;
  static constexpr int64_t kScratchBytes = int64_t{1} << 30;
};
void measure(const Context& context, void* scratch, int64_t scratch_bytes, uint64_t* times);
MachineRates rates_of(const Context& context, int64_t scratch_bytes, const uint64_t* times);

}  // namespace foretoken::cuda
