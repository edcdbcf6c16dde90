// The last error of each host thread, the names of errors, and reports.
#include <deque>
#include <mutex>

#include "csrc/simt/runtime_stream.h"

namespace foretoken::simt {

namespace {

thread_local cudaError_t last_error = cudaSuccess;
thread_local const char* thread_report = nullptr;
std::atomic<const char*> newest_report{nullptr};

struct Description {
  cudaError_t error;
  const char *name, *text;
};

constexpr Description kDescriptions[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration", "invalid configuration argument"},
    {cudaErrorInvalidMemcpyDirection, "cudaErrorInvalidMemcpyDirection", "invalid copy direction for memcpy"},
    {cudaErrorInsufficientDriver, "cudaErrorInsufficientDriver", "CUDA driver version is insufficient"},
    {cudaErrorInvalidDeviceFunction, "cudaErrorInvalidDeviceFunction", "invalid device function"},
    {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    {cudaErrorLaunchOutOfResources, "cudaErrorLaunchOutOfResources", "too many resources requested for launch"},
    {cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
    {cudaErrorNotSupported, "cudaErrorNotSupported", "operation not supported"},
    {cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported",
     "operation not permitted when stream is capturing"},
    {cudaErrorStreamCaptureInvalidated, "cudaErrorStreamCaptureInvalidated",
     "operation failed due to a previous error during capture"},
    {cudaErrorStreamCaptureIsolation, "cudaErrorStreamCaptureIsolation",
     "dependency created on uncaptured work in another stream"},
    {cudaErrorCapturedEvent, "cudaErrorCapturedEvent",
     "operation not permitted on an event last recorded in a capturing stream"},
};

const Description& describe(cudaError_t error) {
  static constexpr Description kUnknown{cudaSuccess, "cudaErrorUnknown", "unrecognized error code"};
  for (const Description& known : kDescriptions) {
    if (known.error == error) return known;
  }
  return kUnknown;
}

}  // namespace

cudaError_t returned(cudaError_t error, const CUstream_st* stream) {
  if (error == cudaSuccess) return error;
  last_error = error;
  if (error == cudaErrorLaunchFailure && stream) thread_report = stream->failure;
  return error;
}

void set_report(const char* report) {
  thread_report = report;
  newest_report = report;
}

const char* keep(const std::string& text) {
  static std::mutex mutex;
  static auto* const kept = new std::deque<std::string>;
  const std::lock_guard lock(mutex);
  return kept->emplace_back(text).c_str();
}

}  // namespace foretoken::simt

using namespace foretoken::simt;

const char* cudaGetErrorName(cudaError_t error) { return describe(error).name; }

const char* cudaGetErrorString(cudaError_t error) {
  if (error == cudaErrorLaunchFailure) {
    if (thread_report) return thread_report;
    if (const char* const report = newest_report) return report;
  }
  return describe(error).text;
}

cudaError_t cudaGetLastError() {
  const cudaError_t error = last_error;
  last_error = cudaSuccess;
  return error;
}

cudaError_t cudaPeekAtLastError() { return last_error; }
