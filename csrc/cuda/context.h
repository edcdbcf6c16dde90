// What every CUDA kernel family gets beside its arguments, and how it launches.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <utility>

#include "csrc/cuda/error_record.h"
#include "csrc/cuda/platform.h"

namespace foretoken::cuda {

class Cublas;

struct Context {
  cudaStream_t stream;
  int multiprocessors;
  int compute_capability;  // 90 for 9.0
  Cublas* cublas;          // which may find that there is none
  ErrorRecord* record;     // in device memory
  const char* op;          // the operation that runs, as messages call it
  uint32_t launch;         // which run of an operation this is, counted from 1

  Reporter reporter() const { return {record, op, launch}; }
};

// A CUDA call that failed. The backend makes an Error of it, with the operation and its shapes.
class CudaFailure : public std::runtime_error {
 public:
  CudaFailure(cudaError_t code, const char* call) : std::runtime_error(call), code(code) {}
  const cudaError_t code;
};

// Every result of the CUDA runtime is looked at, and compilers refuse what is not (csrc/simt/runtime_api.h). The few
// whose failure changes nothing are discarded here; `reason` says why it does not.
inline void discard(cudaError_t, [[maybe_unused]] const char* reason) {
  // What is not sticky must not be met again by the next call.
  static_cast<void>(cudaGetLastError());
}

inline void check(cudaError_t code, const char* call) {
  if (code == cudaSuccess) return;
  discard(code, "it is thrown");
  throw CudaFailure(code, call);
}

constexpr int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t round_up(int64_t a, int64_t b) { return divide_up(a, b) * b; }

// kernel<<<grid, block, shared_bytes, context.stream>>>(arguments…), checked, in clusters of so many blocks along x. A
// grid of no blocks is no launch.
template <typename... Parameters, typename... Arguments>
void launch_clusters(const Context& context, void (*kernel)(Parameters...), dim3 grid, dim3 block, unsigned cluster,
                     size_t shared_bytes, Arguments&&... arguments) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  constexpr size_t kWithoutAsking = 48 * 1024;
  if (shared_bytes > kWithoutAsking) {
    check(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(shared_bytes)),
          "cudaFuncSetAttribute");
  }
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = context.stream;
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeClusterDimension;
  attribute.val.clusterDim = {cluster, 1, 1};
  config.attrs = &attribute;
  config.numAttrs = cluster > 1 ? 1 : 0;  // there are GPUs without clusters
  check(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(std::forward<Arguments>(arguments))...),
        "cudaLaunchKernelEx");
}

template <typename... Parameters, typename... Arguments>
void launch(const Context& context, void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes,
            Arguments&&... arguments) {
  launch_clusters(context, kernel, grid, block, 1, shared_bytes, std::forward<Arguments>(arguments)...);
}

}  // namespace foretoken::cuda
