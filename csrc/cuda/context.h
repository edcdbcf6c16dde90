// The context that every operation gets beside its arguments, checks of CUDA calls, and kernel launches.
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
  Cublas* cublas;          // never null, even where no cuBLAS is installed
  ErrorRecord* record;     // in device memory
  const char* op;          // the running operation's name in messages
  uint32_t launch;         // the number of this run of an operation, counted from 1

  Reporter reporter() const { return {record, op, launch}; }
};

// A CUDA call that failed. The backend turns it into an Error that names the operation and its shapes.
class CudaFailure : public std::runtime_error {
 public:
  CudaFailure(cudaError_t code, const char* call) : std::runtime_error(call), code(code) {}
  const cudaError_t code;
};

// Every result of the CUDA runtime is checked; the emulator's compiler refuses code that ignores one
// (csrc/simt/runtime_api.h). This discards the few whose failure changes nothing; `reason` says why.
inline void discard(cudaError_t, [[maybe_unused]] const char* reason) {
  // Clears the error, so that a later cudaGetLastError does not return it.
  static_cast<void>(cudaGetLastError());
}

inline void check(cudaError_t code, const char* call) {
  if (code == cudaSuccess) return;
  discard(code, "it is thrown");
  throw CudaFailure(code, call);
}

constexpr int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t round_up(int64_t a, int64_t b) { return divide_up(a, b) * b; }

// kernel<<<grid, block, shared_bytes, context.stream>>>(arguments…), checked, in clusters of `cluster` blocks along x.
// Launches nothing if the grid has no blocks.
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
  config.numAttrs = cluster > 1 ? 1 : 0;  // some GPUs have no clusters
  check(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(std::forward<Arguments>(arguments))...),
        "cudaLaunchKernelEx");
}

template <typename... Parameters, typename... Arguments>
void launch(const Context& context, void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes,
            Arguments&&... arguments) {
  launch_clusters(context, kernel, grid, block, 1, shared_bytes, std::forward<Arguments>(arguments)...);
}

}  // namespace foretoken::cuda
