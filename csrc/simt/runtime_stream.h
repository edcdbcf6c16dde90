// Streams, and the operations on them that the other parts of the runtime share.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "csrc/core/stream.h"
#include "csrc/simt/options.h"
#include "csrc/simt/runtime_api.h"

// A task gets the stream that runs it, because a capture of one stream may run on another.
using Task = std::function<void(CUstream_st& stream)>;

struct CUgraph_st {
  std::vector<Task> tasks;
  // Whether a call that a capture does not allow was made meanwhile, so that the capture fails. Events that were
  // recorded in the capture share it.
  std::shared_ptr<std::atomic<bool>> invalid = std::make_shared<std::atomic<bool>>(false);
};

struct CUgraphExec_st {
  std::shared_ptr<const CUgraph_st> graph;
};

struct CUstream_st {
  foretoken::simt::Options options;
  std::unique_ptr<CUgraph_st> capture;        // null while the stream is not captured
  std::atomic<const char*> failure{nullptr};  // the report of a kernel that failed; nothing runs after it
  std::atomic<int64_t> unfinished{0};
  int64_t given = 0;         // pieces of work
  foretoken::Stream worker;  // last, so that it stops before the other members are destroyed
};

namespace foretoken::simt {

// Returns the stream of a handle; null is the default stream.
CUstream_st& stream_of(cudaStream_t stream);

// Runs the task after earlier work, or keeps it while the stream is captured. Returns cudaErrorLaunchFailure if a
// kernel of this stream has failed, cudaErrorLaunchOutOfResources if the options say to refuse this piece of work.
cudaError_t enqueue(cudaStream_t stream, Task task);

// Runs the task after earlier work, even after a failure and while the stream is captured.
void submit(CUstream_st& stream, Task task);

// Counts a piece of work, and returns whether the options say to refuse it.
bool refuses(CUstream_st& stream);

// Makes the capture of this stream invalid after a call that a capture does not allow; returns `error`.
cudaError_t invalidate(CUstream_st& stream, cudaError_t error = cudaErrorStreamCaptureUnsupported);

// Ends the stream, so that nothing runs on it any more.
void fail(CUstream_st& stream, const std::string& report);

// Waits for all streams, as freeing memory does.
void wait_for_streams();

// Returns `error`, kept as the calling thread's last error; the report of cudaErrorLaunchFailure is the stream's.
cudaError_t returned(cudaError_t error, const CUstream_st* stream = nullptr);

// Sets the text that cudaGetErrorString returns to the calling thread for cudaErrorLaunchFailure.
void set_report(const char* report);

// Returns a copy of the string that is never freed.
const char* keep(const std::string& text);

}  // namespace foretoken::simt
