// Captures the work that a stream is given, and replays it.
#include "csrc/simt/runtime_stream.h"

using namespace foretoken::simt;

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  if (mode != cudaStreamCaptureModeRelaxed) return returned(cudaErrorNotSupported);
  if (!stream) return returned(cudaErrorStreamCaptureUnsupported);  // the default stream cannot be captured
  if (stream->capture) return returned(cudaErrorInvalidValue);
  if (refuses(*stream)) return returned(cudaErrorLaunchOutOfResources);
  stream->capture = std::make_unique<CUgraph_st>();
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  if (!stream || !stream->capture) return returned(cudaErrorInvalidValue);
  std::unique_ptr<CUgraph_st> capture = std::move(stream->capture);
  *graph = nullptr;
  if (*capture->invalid) return returned(cudaErrorStreamCaptureInvalidated);
  *graph = capture.release();
  return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  const CUgraph_st* const capture = stream_of(stream).capture.get();
  *status = !capture            ? cudaStreamCaptureStatusNone
            : *capture->invalid ? cudaStreamCaptureStatusInvalidated
                                : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  *executable = new CUgraphExec_st{std::make_shared<const CUgraph_st>(*graph)};
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t handle) {
  const auto run = [graph = executable->graph](CUstream_st& stream) {
    for (const Task& task : graph->tasks) task(stream);
  };
  return returned(enqueue(handle, run), &stream_of(handle));
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  delete executable;
  return cudaSuccess;
}
