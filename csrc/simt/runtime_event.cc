// Events: marks in a stream that other streams and the host can wait for.
#include <chrono>
#include <condition_variable>
#include <mutex>

#include "csrc/simt/runtime_stream.h"

using namespace foretoken::simt;

namespace {

using Clock = std::chrono::steady_clock;

// One recording of an event.
struct Mark {
  std::mutex mutex;
  std::condition_variable reached;
  bool is_reached = false;
  const char* failure = nullptr;  // of the stream when it reached the mark
  Clock::time_point time;
  std::shared_ptr<std::atomic<bool>> capture_invalid;  // of the capture that the recording is part of; null: of none

  void reach(const char* report) {
    const std::lock_guard lock(mutex);
    time = Clock::now();
    failure = report;
    is_reached = true;
    reached.notify_all();
  }
  cudaError_t wait() {
    std::unique_lock lock(mutex);
    reached.wait(lock, [this] { return is_reached; });
    return outcome();
  }
  cudaError_t query() {
    const std::lock_guard lock(mutex);
    return is_reached ? outcome() : cudaErrorNotReady;
  }

 private:
  cudaError_t outcome() const {
    if (!failure) return cudaSuccess;
    set_report(failure);
    return returned(cudaErrorLaunchFailure);
  }
};

// Refuses a query of a captured event, which only replays reach.
cudaError_t captured(Mark& mark) {
  *mark.capture_invalid = true;
  return returned(cudaErrorCapturedEvent);
}

}  // namespace

struct CUevent_st {
  std::mutex mutex;
  std::shared_ptr<Mark> mark;  // the latest; null: never recorded

  std::shared_ptr<Mark> latest() {
    const std::lock_guard lock(mutex);
    return mark;
  }
};

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new CUevent_st;
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t handle) {
  const auto mark = std::make_shared<Mark>();
  CUstream_st& target = stream_of(handle);
  if (target.capture) mark->capture_invalid = target.capture->invalid;
  const cudaError_t error = enqueue(handle, [mark](CUstream_st& stream) { mark->reach(stream.failure); });
  if (error) return returned(error, &target);
  const std::lock_guard lock(event->mutex);
  event->mark = mark;
  return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  const auto mark = event->latest();
  if (!mark) return cudaSuccess;
  return mark->capture_invalid ? captured(*mark) : mark->query();
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  const auto mark = event->latest();
  if (!mark) return cudaSuccess;
  return mark->capture_invalid ? captured(*mark) : mark->wait();
}

cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event, unsigned) {
  const auto mark = event->latest();
  if (!mark) return cudaSuccess;
  CUstream_st& target = stream_of(handle);
  if (target.capture && target.capture->invalid == mark->capture_invalid) return cudaSuccess;  // in order anyway
  if (target.capture) return invalidate(target, cudaErrorStreamCaptureIsolation);
  if (mark->capture_invalid) return returned(cudaErrorNotSupported);  // CUDA adds the stream to the capture
  return returned(enqueue(handle, [mark](CUstream_st&) { static_cast<void>(mark->wait()); }), &target);
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  const auto first = start->latest(), last = end->latest();
  if (!first || !last) return returned(cudaErrorInvalidResourceHandle);
  for (const auto& mark : {first, last}) {
    if (const cudaError_t error = mark->capture_invalid ? captured(*mark) : mark->query()) return error;
  }
  *milliseconds = std::chrono::duration<float, std::milli>(last->time - first->time).count();
  return cudaSuccess;
}
