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
  Clock::time_point time;

  void reach() {
    const std::lock_guard lock(mutex);
    time = Clock::now();
    is_reached = true;
    reached.notify_all();
  }
  void wait() {
    std::unique_lock lock(mutex);
    reached.wait(lock, [this] { return is_reached; });
  }
  bool query() {
    const std::lock_guard lock(mutex);
    return is_reached;
  }
};

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
  const cudaError_t error = enqueue(handle, [mark](CUstream_st&) { mark->reach(); });
  if (error) return returned(error, &stream_of(handle));
  const std::lock_guard lock(event->mutex);
  event->mark = mark;
  return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  const auto mark = event->latest();
  return !mark || mark->query() ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  if (const auto mark = event->latest()) mark->wait();
  return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event, unsigned) {
  const auto mark = event->latest();
  if (!mark) return cudaSuccess;
  return returned(enqueue(handle, [mark](CUstream_st&) { mark->wait(); }), &stream_of(handle));
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  const auto first = start->latest(), last = end->latest();
  if (!first || !last) return returned(cudaErrorInvalidResourceHandle);
  if (!first->query() || !last->query()) return cudaErrorNotReady;
  *milliseconds = std::chrono::duration<float, std::milli>(last->time - first->time).count();
  return cudaSuccess;
}
