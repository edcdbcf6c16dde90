// The interface of a device, implemented for the CPU (csrc/cpu) and for CUDA (csrc/cuda).
//
// A backend is one ordered stream: run() and the copies return at once and take effect in the order of the calls. All
// calls come from one thread, the JavaScript thread of the environment that owns the device.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "csrc/core/error.h"
#include "csrc/core/ops.h"

namespace foretoken {

// Every operation that runs on the stream. X(Name) stands for `void run(const NameArgs&)`.
#define FORETOKEN_STREAM_OPS(X) \
  X(Fill)                       \
  X(Copy)                       \
  X(Cast)                       \
  X(Timestamp)                  \
  X(Add)                        \
  X(Accumulate)                 \
  X(Scale)                      \
  X(Silu)                       \
  X(SiluBackward)               \
  X(SigmoidGate)                \
  X(Glu)                        \
  X(GluBackward)                \
  X(Concat)                     \
  X(SliceColumns)               \
  X(Embedding)                  \
  X(EmbeddingBackward)          \
  X(PackWeight)                 \
  X(Linear)                     \
  X(LinearBackwardInput)        \
  X(LinearBackwardWeight)       \
  X(RmsNorm)                    \
  X(RmsNormBackward)            \
  X(GatedRmsNorm)               \
  X(Rope)                       \
  X(Attention)                  \
  X(AttentionBackward)          \
  X(KvAppend)                   \
  X(TreeAttention)              \
  X(KvCompact)                  \
  X(ShortConvolution)           \
  X(GatedDelta)                 \
  X(CommitRecurrent)            \
  X(LinearCrossEntropy)         \
  X(TopK)                       \
  X(LinearSample)               \
  X(SampleLogits)               \
  X(VerifyTree)                 \
  X(ProposeTokens)              \
  X(AcceptedRows)               \
  X(ChainTokens)                \
  X(SumSquares)                 \
  X(ClipCoefficient)            \
  X(Adamw)

// The operations that need scratch. X(Name) stands for `int64_t workspace(const NameArgs&)`.
#define FORETOKEN_WORKSPACE_OPS(X) \
  X(EmbeddingBackward)             \
  X(Linear)                        \
  X(LinearBackwardInput)           \
  X(LinearBackwardWeight)          \
  X(RmsNormBackward)               \
  X(Attention)                     \
  X(AttentionBackward)             \
  X(TreeAttention)                 \
  X(GatedDelta)                    \
  X(CommitRecurrent)               \
  X(LinearCrossEntropy)            \
  X(TopK)                          \
  X(LinearSample)                  \
  X(SampleLogits)                  \
  X(VerifyTree)                    \
  X(ProposeTokens)                 \
  X(SumSquares)

// Called once, with the first error of the stream, if any; on a thread of the backend or inside Backend::awaited().
using Completion = std::function<void(std::optional<Error>)>;

// Rates of all threads together. A multiply-add counts as two operations.
struct MachineRates {
  double flops_per_second;         // float32 multiply-adds in registers
  double matmul_flops_per_second;  // bfloat16 products if the device has units for them, otherwise as above
  double int8_flops_per_second;    // int8 dot products in registers; 0 if the device has no int8 dot format
  double read_bytes_per_second;    // reads of memory beyond the caches
};

// The work that was enqueued between begin_capture() and end_capture().
class CapturedWork {
 public:
  virtual ~CapturedWork() = default;
};

class Backend {
 public:
  virtual ~Backend() = default;

  virtual const char* kind() const = 0;  // "cpu", "cuda"
  // One line for people: the processor, the instruction set, the number of threads.
  virtual std::string description() const = 0;

  // Returns device memory, 64-byte aligned, or null if none is left. The allocator caches on top of this. Throws Error
  // if the device fails for another reason.
  virtual void* allocate(size_t bytes) = 0;
  virtual void release(void* memory) noexcept = 0;

  // Copies host to device; the caller may reuse `in` as soon as the call returns.
  virtual void upload(void* out, const void* in, int64_t bytes) = 0;
  // Copies device to host; `out` must live until `done` is called.
  virtual void download(void* out, const void* in, int64_t bytes, Completion done) = 0;
  // Calls `done` when everything enqueued before has finished.
  virtual void synchronize(Completion done) = 0;

  // Tells the backend that JavaScript waits for the result of the last download(), synchronize() or measure(). With
  // `may_help`, a backend may run work that takes about a millisecond at most inside this call, and may call `done` on
  // the calling thread.
  virtual void awaited(bool may_help) noexcept { static_cast<void>(may_help); }

  // Sets all bits, which makes every float NaN and every integer -1 until it is written. Only the first `used` bytes may
  // be accessed until the next poisoning: AddressSanitizer reports an access to the others. Runs on the stream, like an
  // operation.
  virtual void poison(void* memory, int64_t bytes, int64_t used) = 0;

  // Until end_capture(), uploads (with their contents) and operations are recorded instead of run, and nothing else may
  // be enqueued. The recorded work can then be replayed any number of times, with one call each.
  virtual void begin_capture() = 0;
  virtual std::shared_ptr<CapturedWork> end_capture() = 0;
  virtual void replay(std::shared_ptr<CapturedWork> work) = 0;

  // Blocks until all enqueued work has finished; during a capture, all work enqueued before it. Used only when memory
  // has run out. Throws Error if the device has failed.
  virtual void wait() = 0;

  // Drops queued work and waits for running work. Nothing may be enqueued afterwards.
  virtual void stop() noexcept = 0;

  // Measures the achievable rates of this device: the ceilings that benchmarks divide by.
  virtual void measure(MachineRates* rates, Completion done) = 0;

  // Whether activations may have this type.
  virtual bool computes_in(DType dtype) const = 0;

  // Returns the size of a weight [n, k] after PackWeight to this type and layout, or 0 if the backend has no such
  // layout or the weight has no elements; then PackWeight must not run.
  virtual int64_t packed_bytes(int64_t n, int64_t k, DType dtype, Layout layout) const = 0;

#define FORETOKEN_DECLARE(Name) virtual void run(const Name##Args& args) = 0;
  FORETOKEN_STREAM_OPS(FORETOKEN_DECLARE)
#undef FORETOKEN_DECLARE

#define FORETOKEN_DECLARE(Name) virtual int64_t workspace(const Name##Args& args) const = 0;
  FORETOKEN_WORKSPACE_OPS(FORETOKEN_DECLARE)
#undef FORETOKEN_DECLARE
};

// Whether a backend has a dot format of this type.
inline bool packs(const Backend& backend, DType dtype) { return backend.packed_bytes(1, 1, dtype, Layout::kDot) > 0; }

}  // namespace foretoken
