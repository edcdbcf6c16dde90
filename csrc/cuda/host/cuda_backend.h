// A GPU as a backend: one stream, on which operations are kernel launches. Captures are CUDA graphs.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "csrc/core/backend.h"
#include "csrc/cuda/context.h"
#include "csrc/cuda/host/cublas.h"
#include "csrc/cuda/host/pinned_memory.h"

namespace foretoken::cuda {

class CudaBackend final : public Backend {
 public:
  // Throws CudaFailure.
  explicit CudaBackend(int index);
  ~CudaBackend() override;

  const char* kind() const override { return "cuda"; }
  std::string description() const override { return description_; }
  bool computes_in(DType dtype) const override { return dtype == DType::kFloat32 || dtype == DType::kBFloat16; }
  // Kernels read weights as they are, so there is nothing to pack.
  int64_t packed_bytes(int64_t, int64_t, DType, Layout) const override { return 0; }

  void* allocate(size_t bytes) override;
  void release(void* memory) noexcept override;
  void upload(void* out, const void* in, int64_t bytes) override;
  void download(void* out, const void* in, int64_t bytes, Completion done) override;
  void synchronize(Completion done) override;
  void poison(void* memory, int64_t bytes, int64_t used) override;
  void begin_capture() override;
  std::shared_ptr<CapturedWork> end_capture() override;
  void replay(std::shared_ptr<CapturedWork> work) override;
  void wait() override;
  void stop() noexcept override;
  void measure(MachineRates* rates, Completion done) override;

#define FORETOKEN_DECLARE(Name) void run(const Name##Args& args) override;
  FORETOKEN_STREAM_OPS(FORETOKEN_DECLARE)
#undef FORETOKEN_DECLARE
#define FORETOKEN_DECLARE(Name) int64_t workspace(const Name##Args& args) const override;
  FORETOKEN_WORKSPACE_OPS(FORETOKEN_DECLARE)
#undef FORETOKEN_DECLARE

  // Bytes of memory that the device has.
  int64_t memory_size() const { return memory_size_; }

 private:
  class Graph;
  struct Delivery;

  void open();
  void close() noexcept;
  void use() const;
  // Waits for the stream. Ignores a failure, because then nothing runs on it.
  void settle() const noexcept;
  // Releases a graph's blocks once the graph has run for the last time.
  void release_uploads(std::vector<PinnedMemory::Owned> blocks) noexcept;
  template <typename F>
  void read_back(const char* op, F&& f);
  // Calls `copy_out` (which may be empty) and then `done` on a thread of the driver, once everything enqueued before
  // has run. `blocks` stay in use until then.
  void deliver(std::vector<PinnedMemory::Owned> blocks, std::function<void()> copy_out, Completion done);
  template <typename Args>
  void run_named(const char* op, const Args& args);

  const int index_;
  std::string description_;
  cudaStream_t stream_ = nullptr;
  // Memory is allocated and freed on a separate stream, so that allocations wait for no kernel.
  cudaStream_t memory_stream_ = nullptr;
  ErrorRecord* record_ = nullptr;
  PinnedMemory pinned_;
  std::unique_ptr<Cublas> cublas_;
  Context context_;
  std::shared_ptr<Graph> capture_;  // null unless a capture is in progress
  cudaEvent_t before_capture_ = nullptr;
  // Blocks of graphs that were destroyed during a capture, when the stream cannot record an event for them.
  std::vector<PinnedMemory::Owned> kept_;
  int64_t memory_size_ = 0;
  bool stopped_ = false;
};

}  // namespace foretoken::cuda
