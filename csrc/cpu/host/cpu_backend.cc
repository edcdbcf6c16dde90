#include "csrc/cpu/host/cpu_backend.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

#include "csrc/core/sampling.h"
#include "csrc/core/tree.h"
#include "csrc/cpu/host/access.h"
#include "csrc/cpu/host/isa.h"
#include "csrc/cpu/host/measure_rates.h"
#include "csrc/cpu/sampling/nothing_to_draw.h"

namespace foretoken::cpu {

namespace {

// Returns how long it takes to copy so many bytes, at a slow 4 GB/s.
Stream::Duration copy_time(int64_t bytes) { return std::chrono::nanoseconds(bytes / 4); }

// Returns how long an operation takes, if that can be said of it before it has run.
template <typename Args>
Stream::Duration expected_time(const Args&) {
  return Stream::kUnknown;
}
Stream::Duration expected_time(const TimestampArgs&) { return copy_time(0); }
Stream::Duration expected_time(const CopyArgs& args) { return copy_time(args.bytes); }

}  // namespace

CpuBackend::CpuBackend(const KernelTable& kernels, int threads)
    : kernels_(kernels), pool_(threads), context_{&pool_, threads, &errors_} {}

std::string CpuBackend::description() const {
  const int threads = pool_.threads();
  return processor_name() + ", " + kernels_.isa + ", " + std::to_string(threads) +
         (threads == 1 ? " thread" : " threads");
}

void* CpuBackend::allocate(size_t bytes) {
  // Puts large blocks on huge pages, so that streaming a weight misses the TLB 512 times less often.
  constexpr size_t kHugePage = size_t{2} << 20;
  const bool huge = bytes >= 2 * kHugePage;
  void* memory = nullptr;
  if (posix_memalign(&memory, huge ? kHugePage : 64, bytes) != 0) return nullptr;
  if (huge) madvise(memory, bytes, MADV_HUGEPAGE);
  return memory;
}

void CpuBackend::release(void* memory) noexcept { std::free(memory); }

void CpuBackend::upload(void* out, const void* in, int64_t bytes) {
  if (bytes == 0) return;
  const std::shared_ptr<char[]> copy(new char[static_cast<size_t>(bytes)]);
  std::memcpy(copy.get(), in, static_cast<size_t>(bytes));
  enqueue([=] { std::memcpy(out, copy.get(), static_cast<size_t>(bytes)); }, copy_time(bytes));
}

void CpuBackend::download(void* out, const void* in, int64_t bytes, Completion done) {
  const auto copy = [=, this] {
    if (bytes > 0) std::memcpy(out, in, static_cast<size_t>(bytes));
    done(errors_.take());
  };
  stream_.enqueue(copy, copy_time(bytes));
}

void CpuBackend::synchronize(Completion done) {
  stream_.enqueue([=, this] { done(errors_.take()); }, copy_time(0));
}

void CpuBackend::poison(void* memory, int64_t bytes, int64_t used) {
  const auto overwrite = [=] {
    allow_access(memory, bytes);
    std::memset(memory, 0xff, static_cast<size_t>(bytes));
    forbid_access(static_cast<char*>(memory) + used, bytes - used);
  };
  enqueue(overwrite, copy_time(bytes));
}

struct CpuBackend::CapturedTasks final : CapturedWork, Stream::Sequence {};

void CpuBackend::enqueue(Stream::Task task, Stream::Duration expected) {
  if (capture_) capture_->tasks.push_back(std::move(task));
  else stream_.enqueue(std::move(task), expected);
}

void CpuBackend::begin_capture() { capture_ = std::make_shared<CapturedTasks>(); }

std::shared_ptr<CapturedWork> CpuBackend::end_capture() { return std::move(capture_); }

void CpuBackend::replay(std::shared_ptr<CapturedWork> work) {
  stream_.enqueue(std::static_pointer_cast<CapturedTasks>(std::move(work)));
}

void CpuBackend::measure(MachineRates* rates, Completion done) {
  stream_.enqueue([=, this] {
    try {
      *rates = measure_rates(kernels_, pool_);
    } catch (const std::bad_alloc&) {
      return done(make_error(ErrorCode::kOutOfMemory, "measure: out of memory: cannot allocate a buffer to read"));
    }
    done(std::nullopt);
  });
}

#define FORETOKEN_DEFINE(Name)                              \
  void CpuBackend::run(const Name##Args& args) {            \
    const auto task = [this, args] {                        \
      if (!errors_.is_set()) kernels_.Name(args, context_); \
    };                                                      \
    enqueue(task, expected_time(args));                     \
  }
FORETOKEN_STREAM_OPS(FORETOKEN_DEFINE)
#undef FORETOKEN_DEFINE

#define FORETOKEN_DEFINE(Name) \
  int64_t CpuBackend::workspace(const Name##Args& args) const { return kernels_.workspace_##Name(args, context_); }
FORETOKEN_WORKSPACE_OPS(FORETOKEN_DEFINE)
#undef FORETOKEN_DEFINE

void run_parts(const Context& context, int64_t parts, Body body, void* data) { context.pool->run(parts, body, data); }

void report_index(const Context& context, const char* op, const char* argument, int64_t position, int64_t value,
                  int64_t limit) {
  context.errors->set(make_error(ErrorCode::kIndexOutOfRange, "%s: %s[%lld] is %lld, but must be in 0 … %lld", op,
                                 argument, lld(position), lld(value), lld(limit - 1)));
}

void report_problem(const Context& context, const char* op, const IndexProblem& problem) {
  context.errors->set(make_error(ErrorCode::kIndexOutOfRange, "%s: %s", op, text_of(problem).c_str()));
}

void report_nothing_to_draw(const Context& context, const char* op, int64_t row, int64_t position) {
  context.errors->set(nothing_to_draw(op, row, position));
}

}  // namespace foretoken::cpu
