// The runtime API: order in streams, events, captures, errors that persist, memory.
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>

#include "csrc/simt/options.h"
#include "csrc/simt/tests/cases.h"

namespace foretoken::simt::tests {

namespace {

__global__ void add(float* x, float amount) { x[threadIdx.x] += amount; }
__global__ void write_past_end(float* x) { x[threadIdx.x + 32] = 1; }

// Blocks a stream in a host function until it is opened.
class Gate {
 public:
  void open() {
    const std::lock_guard lock(mutex_);
    is_open_ = true;
    opened_.notify_all();
  }
  static void wait(void* gate) {
    auto& self = *static_cast<Gate*>(gate);
    std::unique_lock lock(self.mutex_);
    self.opened_.wait(lock, [&] { return self.is_open_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable opened_;
  bool is_open_ = false;
};

struct Answer {
  std::atomic<int> status{-1};
  std::string text;

  static void take(cudaStream_t, cudaError_t status, void* data) {
    auto& self = *static_cast<Answer*>(data);
    self.text = cudaGetErrorString(status);
    self.status = status;
  }
};

CASE("a stream runs in order and does not block the host", [](Bench& bench) {
  float* const x = bench.zeros<float>(32);
  Gate gate;
  check(cudaLaunchHostFunc(bench.stream(), Gate::wait, &gate), "cudaLaunchHostFunc");
  for (int i = 0; i < 3; ++i) bench.launch(add, dim3(1), dim3(32), 0, x, 1.0f);
  bench.expect(cudaStreamQuery(bench.stream()) == cudaErrorNotReady, "the stream is done before the gate opens");
  gate.open();
  bench.expect(bench.download(x, 32)[31] == 3, "a sum is wrong");
  bench.expect(cudaStreamQuery(bench.stream()) == cudaSuccess, "the stream is not done");
});

CASE("an event orders two streams", [](Bench& bench) {
  float* const x = bench.zeros<float>(32);
  bench.finish();
  Bench other;
  Gate gate;
  cudaEvent_t event;
  check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "cudaEventCreateWithFlags");
  check(cudaLaunchHostFunc(bench.stream(), Gate::wait, &gate), "cudaLaunchHostFunc");
  bench.launch(add, dim3(1), dim3(32), 0, x, 1.0f);
  check(cudaEventRecord(event, bench.stream()), "cudaEventRecord");
  check(cudaStreamWaitEvent(other.stream(), event), "cudaStreamWaitEvent");
  float copy[32];
  check(cudaMemcpyAsync(copy, x, sizeof copy, cudaMemcpyDeviceToHost, other.stream()), "cudaMemcpyAsync");
  bench.expect(cudaEventQuery(event) == cudaErrorNotReady, "the event is reached before the gate opens");
  gate.open();
  other.finish();
  bench.expect(cudaEventQuery(event) == cudaSuccess && copy[5] == 1, "the other stream did not wait");
  check(cudaEventDestroy(event), "cudaEventDestroy");
});

CASE("a capture runs as often as it is launched", [](Bench& bench) {
  float* const x = bench.zeros<float>(32);
  bench.finish();
  cudaGraph_t graph;
  cudaGraphExec_t executable;
  cudaStreamCaptureStatus status;
  check(cudaStreamBeginCapture(bench.stream(), cudaStreamCaptureModeRelaxed), "cudaStreamBeginCapture");
  bench.launch(add, dim3(1), dim3(32), 0, x, 1.0f);
  bench.launch(add, dim3(1), dim3(32), 0, x, 2.0f);
  check(cudaStreamIsCapturing(bench.stream(), &status), "cudaStreamIsCapturing");
  bench.expect(status == cudaStreamCaptureStatusActive, "the stream is not captured");
  check(cudaStreamEndCapture(bench.stream(), &graph), "cudaStreamEndCapture");
  check(cudaGraphInstantiate(&executable, graph, 0), "cudaGraphInstantiate");
  check(cudaGraphDestroy(graph), "cudaGraphDestroy");
  bench.expect(bench.download(x, 32)[0] == 0, "captured kernels have run");
  for (int i = 0; i < 4; ++i) check(cudaGraphLaunch(executable, bench.stream()), "cudaGraphLaunch");
  check(cudaGraphExecDestroy(executable), "cudaGraphExecDestroy");
  bench.expect(bench.download(x, 32)[0] == 12, "a sum is wrong");
});

// Expects a call that a capture does not allow to fail, and everything after it until the capture has ended.
void expect_invalid(Bench& bench, const char* what, cudaError_t expected, cudaError_t (*call)(cudaStream_t)) {
  cudaGraph_t graph;
  cudaStreamCaptureStatus status;
  float* const x = bench.zeros<float>(32);
  bench.finish();
  check(cudaStreamBeginCapture(bench.stream(), cudaStreamCaptureModeRelaxed), "cudaStreamBeginCapture");
  bench.launch(add, dim3(1), dim3(32), 0, x, 1.0f);
  const cudaError_t answer = call(bench.stream());
  bench.expect(answer == expected, std::string(what) + " gives " + cudaGetErrorName(answer));
  check(cudaStreamIsCapturing(bench.stream(), &status), "cudaStreamIsCapturing");
  bench.expect(status == cudaStreamCaptureStatusInvalidated, std::string(what) + " leaves the capture valid");
  bench.expect(cudaMemsetAsync(x, 0, 4, bench.stream()) == cudaErrorStreamCaptureInvalidated, "the capture continues");
  bench.expect(cudaStreamEndCapture(bench.stream(), &graph) == cudaErrorStreamCaptureInvalidated && !graph,
               std::string(what) + " does not end the capture");
  bench.launch(add, dim3(1), dim3(32), 0, x, 1.0f);
  bench.expect(bench.download(x, 32)[0] == 1, "captured work has run, or the stream runs nothing any more");
}

// Makes an event for a call that must fail.
template <typename F>
cudaError_t with_event(F&& f) {
  cudaEvent_t event;
  check(cudaEventCreateWithFlags(&event, cudaEventDefault), "cudaEventCreateWithFlags");
  const cudaError_t error = f(event);
  check(cudaEventDestroy(event), "cudaEventDestroy");
  return error;
}

CASE("what a capture does not allow", [](Bench& bench) {
  constexpr cudaError_t unsupported = cudaErrorStreamCaptureUnsupported;
  expect_invalid(bench, "waiting", unsupported, cudaStreamSynchronize);
  expect_invalid(bench, "a query", unsupported, cudaStreamQuery);
  expect_invalid(bench, "a callback", unsupported, [](cudaStream_t stream) {
    const auto none = [](cudaStream_t, cudaError_t, void*) {};
    return cudaStreamAddCallback(stream, none, nullptr, 0);
  });
  expect_invalid(bench, "pageable memory", unsupported, [](cudaStream_t stream) {
    static float host[4];
    void* memory = nullptr;
    check(cudaMalloc(&memory, sizeof host), "cudaMalloc");
    const cudaError_t error = cudaMemcpyAsync(memory, host, sizeof host, cudaMemcpyHostToDevice, stream);
    check(cudaFree(memory), "cudaFree");
    return error;
  });
  expect_invalid(bench, "an event of the capture", cudaErrorCapturedEvent, [](cudaStream_t stream) {
    return with_event([&](cudaEvent_t event) {
      check(cudaEventRecord(event, stream), "cudaEventRecord");
      return cudaEventQuery(event);
    });
  });
  expect_invalid(bench, "waiting for an event of the capture", cudaErrorCapturedEvent, [](cudaStream_t stream) {
    return with_event([&](cudaEvent_t event) {
      check(cudaEventRecord(event, stream), "cudaEventRecord");
      return cudaEventSynchronize(event);
    });
  });
  expect_invalid(bench, "an event of another stream", cudaErrorStreamCaptureIsolation, [](cudaStream_t stream) {
    Bench other;
    return with_event([&](cudaEvent_t event) {
      check(cudaEventRecord(event, other.stream()), "cudaEventRecord");
      return cudaStreamWaitEvent(stream, event);
    });
  });
  expect_invalid(bench, "allocating in its order", cudaErrorNotSupported, [](cudaStream_t stream) {
    void* memory = nullptr;
    return cudaMallocAsync(&memory, 4, stream);
  });
  bench.expect(cudaStreamBeginCapture(bench.stream(), cudaStreamCaptureModeGlobal) == cudaErrorNotSupported,
               "a global capture");
});

CASE("what a relaxed capture allows", [](Bench& bench) {
  Bench other;
  float* const x = bench.zeros<float>(32);
  cudaEvent_t before;
  check(cudaEventCreateWithFlags(&before, cudaEventDisableTiming), "cudaEventCreateWithFlags");
  check(cudaEventRecord(before, bench.stream()), "cudaEventRecord");
  check(cudaStreamBeginCapture(bench.stream(), cudaStreamCaptureModeRelaxed), "cudaStreamBeginCapture");
  bench.launch(add, dim3(1), dim3(32), 0, x, 1.0f);
  check(cudaEventSynchronize(before), "cudaEventSynchronize");
  check(cudaEventQuery(before), "cudaEventQuery");
  void* memory = nullptr;
  check(cudaMallocAsync(&memory, 64, other.stream()), "cudaMallocAsync");
  check(cudaStreamSynchronize(other.stream()), "cudaStreamSynchronize");
  check(cudaFreeAsync(memory, other.stream()), "cudaFreeAsync");
  check(cudaHostAlloc(&memory, 64, cudaHostAllocDefault), "cudaHostAlloc");
  check(cudaMemcpyAsync(memory, x, 64, cudaMemcpyDeviceToHost, bench.stream()), "cudaMemcpyAsync");
  cudaGraph_t graph;
  check(cudaStreamEndCapture(bench.stream(), &graph), "cudaStreamEndCapture");
  check(cudaGraphDestroy(graph), "cudaGraphDestroy");
  check(cudaEventDestroy(before), "cudaEventDestroy");
  check(cudaFreeHost(memory), "cudaFreeHost");
});

CASE("memory that is freed before a copy of it runs", [](Bench& bench) {
  void *memory = nullptr, *pinned = nullptr;
  check(cudaMalloc(&memory, 64), "cudaMalloc");
  check(cudaHostAlloc(&pinned, 64, cudaHostAllocDefault), "cudaHostAlloc");
  Gate gate;
  Bench other;
  check(cudaLaunchHostFunc(bench.stream(), Gate::wait, &gate), "cudaLaunchHostFunc");
  check(cudaMemcpyAsync(memory, pinned, 64, cudaMemcpyHostToDevice, bench.stream()), "cudaMemcpyAsync");
  check(cudaFreeAsync(memory, other.stream()), "cudaFreeAsync");
  other.finish();
  gate.open();
  const cudaError_t error = cudaStreamSynchronize(bench.stream());
  bench.expect(error == cudaErrorLaunchFailure, "the copy has run");
  const std::string report = cudaGetErrorString(error);
  bench.expect(report.find("cudaMemcpyAsync: bytes 0 … 63 of freed memory of 64 bytes") == 0, report);
  check(cudaFreeHost(pinned), "cudaFreeHost");
});

CASE("pageable memory may change at once, pinned memory only when it is copied", [](Bench& bench) {
  float* const x = bench.zeros<float>(2);
  bench.finish();
  void* pinned = nullptr;
  check(cudaHostAlloc(&pinned, sizeof(float), cudaHostAllocDefault), "cudaHostAlloc");
  Gate gate;
  check(cudaLaunchHostFunc(bench.stream(), Gate::wait, &gate), "cudaLaunchHostFunc");
  float pageable = 1;
  *static_cast<float*>(pinned) = 1;
  check(cudaMemcpyAsync(x, &pageable, sizeof(float), cudaMemcpyHostToDevice, bench.stream()), "cudaMemcpyAsync");
  check(cudaMemcpyAsync(x + 1, pinned, sizeof(float), cudaMemcpyHostToDevice, bench.stream()), "cudaMemcpyAsync");
  pageable = *static_cast<float*>(pinned) = 2;
  gate.open();
  const auto result = bench.download(x, 2);
  bench.expect(result[0] == 1 && result[1] == 2, "a copy was read at another time");
  check(cudaFreeHost(pinned), "cudaFreeHost");
});

CASE("copies in the wrong direction or out of bounds are refused", [](Bench& bench) {
  float* const x = bench.zeros<float>(32);
  float host[64] = {};
  const auto copy = [&](void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
    const cudaError_t error = cudaMemcpyAsync(to, from, bytes, kind, bench.stream());
    discard(cudaGetLastError(), "it was expected");
    return error;
  };
  bench.expect(copy(x, host, 128, cudaMemcpyHostToDevice) == cudaSuccess, "a copy is refused");
  bench.expect(copy(x, host, 132, cudaMemcpyHostToDevice) == cudaErrorInvalidValue, "a copy past the end is accepted");
  bench.expect(copy(x, host, 128, cudaMemcpyDeviceToHost) == cudaErrorInvalidValue, "a wrong direction is accepted");
  bench.expect(copy(host, host, 128, cudaMemcpyHostToDevice) == cudaErrorInvalidValue, "a wrong direction is accepted");
  bench.expect(cudaMemsetAsync(x, 0, 132, bench.stream()) == cudaErrorInvalidValue, "a fill past the end is accepted");
  bench.expect(cudaGetLastError() == cudaErrorInvalidValue && cudaGetLastError() == cudaSuccess,
               "the last error is not kept until it is read");
});

CASE("memory: allocations that do not fit are refused, and freed memory can be allocated again", [](Bench& bench) {
  size_t free = 0, total = 0;
  check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
  void *most = nullptr, *more = nullptr;
  check(cudaMalloc(&most, free - 1000), "cudaMalloc");
  bench.expect(cudaMalloc(&more, 1001) == cudaErrorMemoryAllocation && !more,
               "more memory is granted than the device has");
  discard(cudaGetLastError(), "it was expected");
  // All of it is poisoned.
  unsigned char ends[2] = {};
  check(cudaMemcpyAsync(&ends[0], most, 1, cudaMemcpyDeviceToHost, bench.stream()), "cudaMemcpyAsync");
  check(cudaMemcpyAsync(&ends[1], static_cast<char*>(most) + free - 1001, 1, cudaMemcpyDeviceToHost, bench.stream()),
        "cudaMemcpyAsync");
  bench.finish();
  bench.expect(ends[0] == 0xff && ends[1] == 0xff, "fresh memory is not poisoned");
  check(cudaFree(most), "cudaFree");
  check(cudaMalloc(&more, 1001), "cudaMalloc");
  bench.expect(cudaFree(static_cast<char*>(more) + 1) == cudaErrorInvalidValue, "the middle of memory is freed");
  discard(cudaGetLastError(), "it was expected");
  check(cudaFree(more), "cudaFree");
});

CASE("launches that exceed a GPU's limits are refused", [](Bench& bench) {
  float* const x = bench.zeros<float>(32);
  const auto launch = [&](dim3 grid, dim3 block, size_t shared) {
    cudaLaunchConfig_t config{};
    config.gridDim = grid;
    config.blockDim = block;
    config.dynamicSmemBytes = shared;
    config.stream = bench.stream();
    const cudaError_t error = cudaLaunchKernelEx(&config, add, x, 1.0f);
    discard(cudaGetLastError(), "it was expected");
    return error;
  };
  bench.expect(launch(dim3(1), dim3(32), 48 * 1024) == cudaSuccess, "48 KiB are refused");
  bench.expect(launch(dim3(1), dim3(32), 48 * 1024 + 16) == cudaErrorInvalidValue,
               "more than 48 KiB are accepted without a request");
  bench.expect(launch(dim3(1), dim3(1025), 0) == cudaErrorInvalidConfiguration, "1025 threads are accepted");
  bench.expect(launch(dim3(1, 65536), dim3(32), 0) == cudaErrorInvalidConfiguration,
               "65536 rows of blocks are accepted");
  bench.expect(launch(dim3(1), dim3(1, 1, 65), 0) == cudaErrorInvalidConfiguration,
               "65 layers of threads are accepted");
  bench.expect(
      cudaFuncSetAttribute(add, cudaFuncAttributeMaxDynamicSharedMemorySize, 228 * 1024) == cudaErrorInvalidValue,
      "228 KiB are granted");
  discard(cudaGetLastError(), "it was expected");
});

CASE("a fault ends its stream", [](Bench& bench) {
  float* const x = bench.zeros<float>(32);
  Answer answer;
  bench.launch(write_past_end, dim3(1), dim3(32), 0, x);
  check(cudaStreamAddCallback(bench.stream(), Answer::take, &answer, 0), "cudaStreamAddCallback");
  bench.expect(cudaStreamSynchronize(bench.stream()) == cudaErrorLaunchFailure, "the fault is not found");
  bench.expect(answer.status == cudaErrorLaunchFailure && answer.text.find("write_past_end") != std::string::npos,
               "the callback was told " + answer.text);
  cudaLaunchConfig_t config{};
  config.stream = bench.stream();
  bench.expect(cudaLaunchKernelEx(&config, add, x, 1.0f) == cudaErrorLaunchFailure, "a later launch is accepted");
  bench.expect(cudaStreamQuery(bench.stream()) == cudaErrorLaunchFailure, "the fault is forgotten");
  // Other streams still work.
  Bench other;
  float* const y = other.zeros<float>(32);
  other.launch(add, dim3(1), dim3(32), 0, y, 1.0f);
  bench.expect(other.download(y, 32)[0] == 1, "another stream does not work");
});

}  // namespace

}  // namespace foretoken::simt::tests
