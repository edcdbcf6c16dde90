// The CPU backend: every operation is a task of the stream, run by the kernels of one instruction-set level.
#pragma once

#include "csrc/core/backend.h"
#include "csrc/core/stream.h"
#include "csrc/core/thread_pool.h"
#include "csrc/cpu/kernel_table.h"

namespace foretoken::cpu {

class CpuBackend final : public Backend {
 public:
  CpuBackend(const KernelTable& kernels, int threads);

  const char* kind() const override { return "cpu"; }
  std::string description() const override;

  void* allocate(size_t bytes) override;
  void release(void* memory) noexcept override;
  void upload(void* out, const void* in, int64_t bytes) override;
  void download(void* out, const void* in, int64_t bytes, Completion done) override;
  void synchronize(Completion done) override;
  void awaited(bool may_help) noexcept override { stream_.awaited(may_help); }
  void poison(void* memory, int64_t bytes, int64_t used) override;
  void begin_capture() override;
  std::shared_ptr<CapturedWork> end_capture() override;
  void replay(std::shared_ptr<CapturedWork> work) override;
  void wait() override { stream_.wait(); }
  void stop() noexcept override { stream_.stop(); }
  void measure(MachineRates* rates, Completion done) override;

  bool computes_in(DType dtype) const override { return dtype == DType::kFloat32; }
  int64_t packed_bytes(int64_t n, int64_t k, DType dtype, Layout layout) const override {
    return kernels_.packed_bytes(n, k, dtype, layout);
  }

#define FORETOKEN_DECLARE(Name) void run(const Name##Args& args) override;
  FORETOKEN_STREAM_OPS(FORETOKEN_DECLARE)
#undef FORETOKEN_DECLARE
#define FORETOKEN_DECLARE(Name) int64_t workspace(const Name##Args& args) const override;
  FORETOKEN_WORKSPACE_OPS(FORETOKEN_DECLARE)
#undef FORETOKEN_DECLARE

 private:
  struct CapturedTasks;
  void enqueue(Stream::Task task, Stream::Duration expected = Stream::kUnknown);

  const KernelTable& kernels_;
  ErrorSlot errors_;
  ThreadPool pool_;
  Context context_;
  std::shared_ptr<CapturedTasks> capture_;  // null except during a capture
  Stream stream_;                           // last, so that it is destroyed, and so stopped, first
};

}  // namespace foretoken::cpu
