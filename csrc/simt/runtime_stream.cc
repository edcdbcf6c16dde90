#include "csrc/simt/runtime_stream.h"

#include <mutex>
#include <set>

namespace foretoken::simt {

namespace {

struct Streams {
  std::mutex mutex;
  std::set<CUstream_st*> all;
  CUstream_st* default_stream = nullptr;
};

Streams& streams() {
  static auto* const the_streams = new Streams;
  return *the_streams;
}

CUstream_st* make_stream() {
  auto* const stream = new CUstream_st;
  stream->options = configured();
  return stream;
}

}  // namespace

void submit(CUstream_st& stream, Task task) {
  stream.unfinished.fetch_add(1);
  stream.worker.enqueue([&stream, task = std::move(task)] {
    task(stream);
    stream.unfinished.fetch_sub(1);
  });
}

CUstream_st& stream_of(cudaStream_t stream) {
  if (stream) return *stream;
  Streams& known = streams();
  const std::lock_guard lock(known.mutex);
  if (!known.default_stream) known.all.insert(known.default_stream = make_stream());
  return *known.default_stream;
}

cudaError_t invalidate(CUstream_st& stream, cudaError_t error) {
  *stream.capture->invalid = true;
  return returned(error);
}

void fail(CUstream_st& stream, const std::string& report) {
  const char* const kept = keep(report);
  stream.failure = kept;
  set_report(kept);
}

bool refuses(CUstream_st& stream) { return ++stream.given == stream.options.refused; }

cudaError_t enqueue(cudaStream_t handle, Task task) {
  CUstream_st& stream = stream_of(handle);
  const bool refused = refuses(stream);
  if (stream.capture) {
    if (*stream.capture->invalid) return cudaErrorStreamCaptureInvalidated;
    if (refused) return invalidate(stream, cudaErrorLaunchOutOfResources);
    stream.capture->tasks.push_back(std::move(task));
    return cudaSuccess;
  }
  if (refused) return cudaErrorLaunchOutOfResources;
  if (stream.failure) return cudaErrorLaunchFailure;
  submit(stream, std::move(task));
  return cudaSuccess;
}

void wait_for_streams() {
  Streams& known = streams();
  const std::lock_guard lock(known.mutex);
  for (CUstream_st* stream : known.all) stream->worker.wait();
}

}  // namespace foretoken::simt

using namespace foretoken::simt;

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  Streams& known = streams();
  const std::lock_guard lock(known.mutex);
  known.all.insert(*stream = make_stream());
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  if (!stream) return returned(cudaErrorInvalidResourceHandle);
  stream->worker.wait();
  {
    Streams& known = streams();
    const std::lock_guard lock(known.mutex);
    known.all.erase(stream);
  }
  delete stream;
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  CUstream_st& stream = stream_of(handle);
  if (stream.capture) return invalidate(stream);
  stream.worker.wait();
  return returned(stream.failure ? cudaErrorLaunchFailure : cudaSuccess, &stream);
}

cudaError_t cudaStreamQuery(cudaStream_t handle) {
  CUstream_st& stream = stream_of(handle);
  if (stream.capture) return invalidate(stream);
  if (stream.failure) return returned(cudaErrorLaunchFailure, &stream);
  return stream.unfinished.load() == 0 ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaStreamAddCallback(cudaStream_t handle, cudaStreamCallback_t callback, void* data, unsigned) {
  CUstream_st& target = stream_of(handle);
  if (target.capture) return invalidate(target);
  if (refuses(target)) return returned(cudaErrorLaunchOutOfResources);
  // Calls back also after a failure, because the caller waits for the callback.
  submit(target, [handle, callback, data](CUstream_st& stream) {
    const char* const failure = stream.failure;
    if (failure) set_report(failure);
    callback(handle, failure ? cudaErrorLaunchFailure : cudaSuccess, data);
  });
  return cudaSuccess;
}

cudaError_t cudaLaunchHostFunc(cudaStream_t handle, cudaHostFn_t function, void* data) {
  return returned(enqueue(handle,
                          [function, data](CUstream_st& stream) {
                            if (!stream.failure) function(data);
                          }),
                  &stream_of(handle));
}
