// What a device must be able to do. One implementation for the CPU (csrc/cpu), one for CUDA (csrc/cuda).
//
// A backend is one ordered stream: run() and the copies return at once and take effect in the order of the
// calls. All calls come from one thread (the JavaScript thread of the environment that owns the device).
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
  X(Swiglu)                     \
  X(SwigluBackward)             \
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
  X(Rope)                       \
  X(Attention)                  \
  X(AttentionBackward)          \
  X(KvAppend)                   \
  X(TreeAttention)              \
  X(KvCompact)                  \
  X(LinearCrossEntropy)         \
  X(TopK)                       \
  X(LinearSample)               \
  X(SampleLogits)               \
  X(VerifyTree)                 \
  X(PlantTree)                  \
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
  X(LinearCrossEntropy)            \
  X(TopK)                          \
  X(LinearSample)                  \
  X(SampleLogits)                  \
  X(VerifyTree)                    \
  X(SumSquares)

// Called once, on a thread of the backend, with the error that the stream met, if any.
using Completion = std::function<void(std::optional<Error>)>;

struct MachineRates {
  double flops_per_second;         // float32 multiply-adds in registers, all threads, two operations each
  double matmul_flops_per_second;  // the same of bfloat16 products, where the device has units for them
  double int8_flops_per_second;    // the same of products of words of int8; 0 where there are none
  double read_bytes_per_second;    // reading memory beyond the caches, all threads
};

// What was enqueued between begin_capture() and end_capture().
class CapturedWork {
 public:
  virtual ~CapturedWork() = default;
};

class Backend {
 public:
  virtual ~Backend() = default;

  // "cpu", "cuda", …, and one line for people: the processor, the instruction set, the number of threads.
  virtual const char* kind() const = 0;
  virtual std::string description() const = 0;

  // Device memory, 64-byte aligned; null when there is none left. The allocator caches on top of this. Throws Error
  // where the device fails for another reason.
  virtual void* allocate(size_t bytes) = 0;
  virtual void release(void* memory) noexcept = 0;

  // Host to device; `in` may be reused as soon as the call returns.
  virtual void upload(void* out, const void* in, int64_t bytes) = 0;
  // Device to host; `out` must live until `done` is called.
  virtual void download(void* out, const void* in, int64_t bytes, Completion done) = 0;
  // Calls `done` when everything enqueued before has finished.
  virtual void synchronize(Completion done) = 0;

  // Sets all bits: what is not a number in every type of float, and -1 in every integer, until something is written
  // there. An operation like others.
  virtual void poison(void* memory, int64_t bytes) = 0;

  // From here to end_capture() uploads and operations are gathered instead of run, the contents of uploads with them;
  // nothing else may be enqueued. What was gathered can then run any number of times, for the price of one call each.
  virtual void begin_capture() = 0;
  virtual std::shared_ptr<CapturedWork> end_capture() = 0;
  virtual void replay(std::shared_ptr<CapturedWork> work) = 0;

  // Blocks until everything enqueued has finished; while a capture is made, everything enqueued before it. Only for
  // when memory has run out. Throws Error where the device has failed.
  virtual void wait() = 0;

  // Teardown: drops what is queued and waits for what is running. Nothing may be enqueued after it.
  virtual void stop() noexcept = 0;

  // Achievable rates of this device, measured now: the ceilings that benchmarks divide by.
  virtual void measure(MachineRates* rates, Completion done) = 0;

  // Whether activations may be of this type.
  virtual bool computes_in(DType dtype) const = 0;

  // Size of a weight [n, k] after PackWeight to this type and layout; 0 where this backend has no such layout, or where
  // the weight has no elements, and PackWeight is not to be run.
  virtual int64_t packed_bytes(int64_t n, int64_t k, DType dtype, Layout layout) const = 0;

#define FORETOKEN_DECLARE(Name) virtual void run(const Name##Args& args) = 0;
  FORETOKEN_STREAM_OPS(FORETOKEN_DECLARE)
#undef FORETOKEN_DECLARE

#define FORETOKEN_DECLARE(Name) virtual int64_t workspace(const Name##Args& args) const = 0;
  FORETOKEN_WORKSPACE_OPS(FORETOKEN_DECLARE)
#undef FORETOKEN_DECLARE
};

// Whether a backend has words of this type.
inline bool packs(const Backend& backend, DType dtype) { return backend.packed_bytes(1, 1, dtype, Layout::kWords) > 0; }

}  // namespace foretoken
