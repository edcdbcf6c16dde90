// Enqueues on the stream, reads back through pinned memory, and captures graphs.
#include "csrc/cuda/host/cuda_backend.h"

#include <cstring>
#include <utility>

#include "csrc/cuda/host/describe.h"
#include "csrc/cuda/kernels.h"

namespace foretoken::cuda {

namespace {

// "NVIDIA H100, compute capability 9.0, 132 multiprocessors, 85 GB"
std::string describe(const cudaDeviceProp& properties) {
  char text[512];
  std::snprintf(text, sizeof text, "%s, compute capability %d.%d, %d multiprocessors, %.0f GB", properties.name,
                properties.major, properties.minor, properties.multiProcessorCount,
                static_cast<double>(properties.totalGlobalMem) / 1e9);
  return text;
}

Error error_of(const CudaFailure& failure, const std::string& what) {
  const ErrorCode code = failure.code == cudaErrorMemoryAllocation ? ErrorCode::kOutOfMemory : ErrorCode::kInternal;
  return make_error(code, "%s: %s failed with %s: %s", what.c_str(), failure.what(), cudaGetErrorName(failure.code),
                    cudaGetErrorString(failure.code));
}

// Runs `f`; turns a failure of a CUDA call in it into an Error that names the operation.
template <typename F>
auto checked(const char* op, F&& f) {
  try {
    return f();
  } catch (const CudaFailure& failure) {
    throw error_of(failure, op);
  }
}

}  // namespace

// Operations captured as a graph, with the contents of the captured uploads.
class CudaBackend::Graph final : public CapturedWork {
 public:
  explicit Graph(CudaBackend& backend) : backend_(backend) {}
  ~Graph() override {
    // The graph may be running. CUDA frees it when it has finished, and the blocks are released then, too.
    if (executable) discard(cudaGraphExecDestroy(executable), "it is not launched again");
    backend_.release_uploads(std::move(uploads));
  }
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  cudaGraphExec_t executable = nullptr;
  std::vector<PinnedMemory::Owned> uploads;

 private:
  CudaBackend& backend_;
};

CudaBackend::CudaBackend(int index) : index_(index) {
  try {
    open();
  } catch (...) {
    close();
    throw;
  }
}

CudaBackend::~CudaBackend() { close(); }

void CudaBackend::open() {
  use();
  cudaDeviceProp properties;
  check(cudaGetDeviceProperties(&properties, index_), "cudaGetDeviceProperties");
  description_ = describe(properties);
  memory_size_ = static_cast<int64_t>(properties.totalGlobalMem);
  check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  check(cudaStreamCreateWithFlags(&memory_stream_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  check(cudaEventCreateWithFlags(&before_capture_, cudaEventDisableTiming), "cudaEventCreateWithFlags");
  record_ = static_cast<ErrorRecord*>(allocate(sizeof(ErrorRecord)));
  if (record_ == nullptr) throw CudaFailure(cudaErrorMemoryAllocation, "cudaMallocAsync");
  const ErrorRecord empty = empty_record();
  upload(record_, &empty, sizeof empty);
  const int compute_capability = 10 * properties.major + properties.minor;
  cublas_ = std::make_unique<Cublas>(compute_capability, record_);
  context_ = {.stream = stream_,
              .multiprocessors = properties.multiProcessorCount,
              .compute_capability = compute_capability,
              .cublas = cublas_.get(),
              .record = record_,
              .op = "",
              .launch = 0};
}

void CudaBackend::close() noexcept {
  stop();
  const char* const reason = "nothing uses it any more";
  if (record_) release(record_);
  cublas_.reset();
  if (before_capture_) discard(cudaEventDestroy(before_capture_), reason);
  if (stream_) discard(cudaStreamDestroy(stream_), reason);
  if (memory_stream_) discard(cudaStreamDestroy(memory_stream_), reason);
}

// The current device belongs to the calling thread, and other devices' backends change it.
void CudaBackend::use() const { check(cudaSetDevice(index_), "cudaSetDevice"); }

void* CudaBackend::allocate(size_t bytes) {
  return checked("allocate", [&]() -> void* {
    use();
    void* memory = nullptr;
    const cudaError_t code = cudaMallocAsync(&memory, bytes, memory_stream_);
    if (code == cudaErrorMemoryAllocation) {
      discard(code, "the null result reports it");
      return nullptr;
    }
    check(code, "cudaMallocAsync");
    try {
      check(cudaStreamSynchronize(memory_stream_), "cudaStreamSynchronize");
    } catch (const CudaFailure&) {
      release(memory);
      throw;
    }
    return memory;
  });
}

void CudaBackend::release(void* memory) noexcept {
  discard(cudaSetDevice(index_), "without the device there is no memory to release");
  // No need to wait for stream_: the allocator releases only memory that it no longer uses.
  discard(cudaFreeAsync(memory, memory_stream_), "it fails only if the device is lost, and its memory with it");
}

void CudaBackend::upload(void* out, const void* in, int64_t bytes) {
  if (bytes == 0) return;
  checked("upload", [&] {
    use();
    PinnedMemory::Owned block = pinned_.take(bytes);
    std::memcpy(block->data(), in, static_cast<size_t>(bytes));
    check(cudaMemcpyAsync(out, block->data(), static_cast<size_t>(bytes), cudaMemcpyHostToDevice, stream_),
          "cudaMemcpyAsync");
    if (capture_) capture_->uploads.push_back(std::move(block));
    else pinned_.release_after(std::move(block), stream_);
  });
}

void CudaBackend::poison(void* memory, int64_t bytes, int64_t) {
  checked("poison", [&] {
    use();
    check(cudaMemsetAsync(memory, 0xff, static_cast<size_t>(bytes), stream_), "cudaMemsetAsync");
  });
}

// Runs `f`, which enqueues writes to pinned blocks. If it fails halfway, the blocks may be taken again, so this first
// waits for the writes that were enqueued.
template <typename F>
void CudaBackend::read_back(const char* op, F&& f) {
  checked(op, [&] {
    use();
    try {
      f();
    } catch (...) {
      settle();
      throw;
    }
  });
}

// The data of a callback of the driver.
struct CudaBackend::Delivery {
  std::vector<PinnedMemory::Owned> blocks;
  std::function<void()> copy_out;
  Completion done;

  static void CUDART_CB run(cudaStream_t, cudaError_t status, void* data) {
    const std::unique_ptr<Delivery> delivery(static_cast<Delivery*>(data));
    delivery->done(delivery->outcome(status));
  }

  std::optional<Error> outcome(cudaError_t status) const {
    if (status != cudaSuccess) {
      return make_error(ErrorCode::kInternal, "the device failed with %s: %s", cudaGetErrorName(status),
                        cudaGetErrorString(status));
    }
    if (copy_out) copy_out();
    return cuda::error_of(*reinterpret_cast<const ErrorRecord*>(blocks.front()->data()));
  }
};

void CudaBackend::deliver(std::vector<PinnedMemory::Owned> blocks, std::function<void()> copy_out, Completion done) {
  std::unique_ptr<Delivery> delivery(new Delivery{std::move(blocks), std::move(copy_out), std::move(done)});
  // Unlike the callback of cudaLaunchHostFunc, this one runs after an error, too, and gets the error.
  check(cudaStreamAddCallback(stream_, Delivery::run, delivery.get(), 0), "cudaStreamAddCallback");
  delivery.release();
}

void CudaBackend::download(void* out, const void* in, int64_t bytes, Completion done) {
  read_back("download", [&] {
    std::vector<PinnedMemory::Owned> blocks;
    blocks.push_back(pinned_.take(sizeof(ErrorRecord)));
    blocks.push_back(pinned_.take(bytes));
    const char* const copy = blocks[1]->data();
    if (bytes > 0) {
      check(cudaMemcpyAsync(blocks[1]->data(), in, static_cast<size_t>(bytes), cudaMemcpyDeviceToHost, stream_),
            "cudaMemcpyAsync");
    }
    take_error(context_, reinterpret_cast<ErrorRecord*>(blocks[0]->data()));
    deliver(
        std::move(blocks),
        [=] {
          if (bytes > 0) std::memcpy(out, copy, static_cast<size_t>(bytes));
        },
        std::move(done));
  });
}

void CudaBackend::synchronize(Completion done) {
  read_back("synchronize", [&] {
    std::vector<PinnedMemory::Owned> blocks;
    blocks.push_back(pinned_.take(sizeof(ErrorRecord)));
    take_error(context_, reinterpret_cast<ErrorRecord*>(blocks[0]->data()));
    deliver(std::move(blocks), nullptr, std::move(done));
  });
}

void CudaBackend::begin_capture() {
  checked("capture", [&] {
    use();
    auto graph = std::make_shared<Graph>(*this);
    check(cudaEventRecord(before_capture_, stream_), "cudaEventRecord");
    // Relaxed mode allows allocations on the other stream, and waiting for the event, during the capture.
    check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeRelaxed), "cudaStreamBeginCapture");
    capture_ = std::move(graph);
  });
}

std::shared_ptr<CapturedWork> CudaBackend::end_capture() {
  return checked("capture", [&]() -> std::shared_ptr<CapturedWork> {
    use();
    const std::shared_ptr<Graph> captured = std::move(capture_);
    cudaGraph_t graph = nullptr;
    // Ends the capture even if it gives no graph.
    const cudaError_t ended = cudaStreamEndCapture(stream_, &graph);
    release_uploads(std::exchange(kept_, {}));
    check(ended, "cudaStreamEndCapture");
    const cudaError_t made = cudaGraphInstantiate(&captured->executable, graph, 0);
    discard(cudaGraphDestroy(graph), "the executable does not need it");
    check(made, "cudaGraphInstantiate");
    return captured;
  });
}

void CudaBackend::release_uploads(std::vector<PinnedMemory::Owned> blocks) noexcept {
  for (PinnedMemory::Owned& block : blocks) {
    try {
      if (capture_) kept_.push_back(std::move(block));
      else pinned_.release_after(std::move(block), stream_);
    } catch (const CudaFailure&) {
      // release_after has waited for the stream instead.
    }
  }
}

void CudaBackend::replay(std::shared_ptr<CapturedWork> work) {
  checked("replay", [&] {
    use();
    check(cudaGraphLaunch(static_cast<Graph&>(*work).executable, stream_), "cudaGraphLaunch");
  });
}

void CudaBackend::wait() {
  checked("trim", [&] {
    use();
    // CUDA cannot wait for a stream that is being captured; but no work has started on it since the capture began.
    if (capture_) check(cudaEventSynchronize(before_capture_), "cudaEventSynchronize");
    else check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
  });
}

void CudaBackend::settle() const noexcept {
  discard(cudaSetDevice(index_), "without the device nothing runs on it");
  discard(cudaStreamSynchronize(stream_), "if it fails, nothing runs any more");
}

void CudaBackend::stop() noexcept {
  if (std::exchange(stopped_, true) || stream_ == nullptr) return;
  settle();
}

void CudaBackend::measure(MachineRates* rates, Completion done) {
  read_back("measure", [&] {
    int64_t bytes = Measurement::kScratchBytes;
    void* memory = allocate(static_cast<size_t>(bytes));
    while (memory == nullptr && bytes > 1 << 20) memory = allocate(static_cast<size_t>(bytes /= 2));
    if (memory == nullptr) throw make_error(ErrorCode::kOutOfMemory, "measure: less than 1 MiB of memory is free");
    // Freed in the order of the stream, so the host does not wait for the measurement.
    const auto free = [&](void* scratch) {
      discard(cudaFreeAsync(scratch, stream_), "it fails only if the device is lost, and its memory with it");
    };
    const std::unique_ptr<void, decltype(free)> scratch(memory, free);
    std::vector<PinnedMemory::Owned> blocks;
    blocks.push_back(pinned_.take(sizeof(ErrorRecord)));
    blocks.push_back(pinned_.take(Measurement::kTimes * sizeof(uint64_t)));
    auto* const times = reinterpret_cast<uint64_t*>(blocks[1]->data());
    context_.op = "measure";
    cuda::measure(context_, scratch.get(), bytes, times);
    take_error(context_, reinterpret_cast<ErrorRecord*>(blocks[0]->data()));
    deliver(
        std::move(blocks), [=, this] { *rates = rates_of(context_, bytes, times); }, std::move(done));
  });
}

template <typename Args>
void CudaBackend::run_named(const char* op, const Args& args) {
  context_.op = op;
  context_.launch += 1;
  try {
    use();
    cuda::run(args, context_);
  } catch (const CudaFailure& failure) {
    throw error_of(failure, std::string(op) + " of " + shapes_of(args));
  }
}

#define FORETOKEN_DEFINE(Name) \
  void CudaBackend::run(const Name##Args& args) { run_named(name_of(args), args); }
FORETOKEN_STREAM_OPS(FORETOKEN_DEFINE)
#undef FORETOKEN_DEFINE

#define FORETOKEN_DEFINE(Name) \
  int64_t CudaBackend::workspace(const Name##Args& args) const { return cuda::workspace(args, context_); }
FORETOKEN_WORKSPACE_OPS(FORETOKEN_DEFINE)
#undef FORETOKEN_DEFINE

}  // namespace foretoken::cuda
