// Declares the kernels: every operation is an overload of `run(args, context)`.
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

// Copies the record to *taken, in pinned memory, and clears it.
void take_error(const Context& context, ErrorRecord* taken);

// Enqueues work that measures the ceilings of this device, and writes the stream's clock in nanoseconds to times[0 …
// kTimes - 1] in pinned memory. `rates_of` computes the rates once all of it has run. `scratch` is device memory,
// kScratchBytes if there is that much.
struct Measurement {
  static constexpr int kTimes = 16;
  static constexpr int64_t kScratchBytes = int64_t{1} << 30;
};
void measure(const Context& context, void* scratch, int64_t scratch_bytes, uint64_t* times);
MachineRates rates_of(const Context& context, int64_t scratch_bytes, const uint64_t* times);

}  // namespace foretoken::cuda
