// Streams, and what the other parts of the runtime do with them.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "csrc/core/stream.h"
#include "csrc/simt/options.h"
#include "csrc/simt/runtime_api.h"

// Given the stream that runs it: what was captured from one may run on another.
using Task = std::function<void(CUstream_st& stream)>;

struct CUgraph_st {
  std::vector<Task> tasks;
  // Whether a call that a capture does not allow was made meanwhile: nothing comes of it then. Events that were
  // recorded in it know of this.
  std::shared_ptr<std::atomic<bool>> invalid = std::make_shared<std::atomic<bool>>(false);
};

struct CUgraphExec_st {
  std::shared_ptr<const CUgraph_st> graph;
};

struct CUstream_st {
  foretoken::simt::Options options;
  std::unique_ptr<CUgraph_st> capture;        // while there is one
  std::atomic<const char*> failure{nullptr};  // the report of a kernel that did wrong; nothing runs after it
  std::atomic<int64_t> unfinished{0};
  int64_t given = 0;         // pieces of work
  foretoken::Stream worker;  // last: stops before the rest goes away
};

namespace foretoken::simt {

// The stream that a handle stands for; a null one is the default stream.
CUstream_st& stream_of(cudaStream_t stream);

// Runs the task after what was enqueued before, or keeps it while the stream is captured. cudaErrorLaunchFailure where
// a kernel of this stream has failed, cudaErrorLaunchOutOfResources where this piece of work is the one to refuse.
cudaError_t enqueue(cudaStream_t stream, Task task);

// Runs the task after what was enqueued before, also after a failure, and while the stream is captured.
void submit(CUstream_st& stream, Task task);

// Counts a piece of work; whether it is the one that the options say to refuse.
bool refuses(CUstream_st& stream);

// `error`, of a call that the capture of this stream does not allow.
cudaError_t invalidate(CUstream_st& stream, cudaError_t error = cudaErrorStreamCaptureUnsupported);

// The stream has done what is wrong: nothing runs on it any more.
void fail(CUstream_st& stream, const std::string& report);

// Waits for all streams, as freeing memory does.
void wait_for_streams();

// `error`, which the calling thread can ask for again. Of cudaErrorLaunchFailure the report is the stream's.
cudaError_t returned(cudaError_t error, const CUstream_st* stream = nullptr);

// What cudaGetErrorString gives to the calling thread for cudaErrorLaunchFailure.
void set_report(const char* report);

// A string that stays.
const char* keep(const std::string& text);

}  // namespace foretoken::simt
