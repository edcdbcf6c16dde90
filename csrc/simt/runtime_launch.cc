// Launches kernels.
#include <algorithm>
#include <map>
#include <mutex>

#include "csrc/simt/kernel_runner.h"
#include "csrc/simt/runtime_stream.h"
#include "csrc/simt/shared_memory.h"

namespace foretoken::simt {

namespace {

// The dynamic shared memory that kernels have requested.
struct SharedMemoryLimits {
  std::mutex mutex;
  std::map<const void*, size_t> bytes;

  size_t of(const void* kernel) {
    const std::lock_guard lock(mutex);
    const auto found = bytes.find(kernel);
    return found == bytes.end() ? SharedMemory::kWithoutAsking : found->second;
  }
};

SharedMemoryLimits& limits() {
  static auto* const the_limits = new SharedMemoryLimits;
  return *the_limits;
}

dim3 cluster_of(const cudaLaunchConfig_t& config) {
  dim3 cluster;
  for (unsigned i = 0; i < config.numAttrs; ++i) {
    const cudaLaunchAttribute& attribute = config.attrs[i];
    if (attribute.id != cudaLaunchAttributeClusterDimension) continue;
    cluster = {attribute.val.clusterDim.x, attribute.val.clusterDim.y, attribute.val.clusterDim.z};
  }
  return cluster;
}

bool is_valid(const LaunchShape& shape) {
  const dim3 grid = shape.grid, block = shape.block, cluster = shape.cluster;
  constexpr unsigned kMostX = 0x7fffffff, kMostYZ = 65535;
  const auto within = [](unsigned value, unsigned most) { return value >= 1 && value <= most; };
  return within(grid.x, kMostX) && within(grid.y, kMostYZ) && within(grid.z, kMostYZ) && within(block.x, 1024) &&
         within(block.y, 1024) && within(block.z, 64) && uint64_t{block.x} * block.y * block.z <= 1024 && cluster.x &&
         cluster.y && cluster.z && grid.x % cluster.x == 0 && grid.y % cluster.y == 0 && grid.z % cluster.z == 0 &&
         uint64_t{cluster.x} * cluster.y * cluster.z <= 16;
}

}  // namespace

cudaError_t enqueue_kernel(const cudaLaunchConfig_t& config, KernelCall call) {
  const LaunchShape shape{config.gridDim, config.blockDim, cluster_of(config), config.dynamicSmemBytes};
  if (!is_valid(shape)) return returned(cudaErrorInvalidConfiguration);
  if (shape.dynamic_shared_bytes > limits().of(call.kernel)) return returned(cudaErrorInvalidValue);
  const auto run = [shape, call = std::move(call)](CUstream_st& stream) {
    if (stream.failure) return;
    const std::string failure = run_kernel(shape, call, stream.options);
    if (!failure.empty()) fail(stream, failure);
  };
  return returned(enqueue(config.stream, run), &stream_of(config.stream));
}

}  // namespace foretoken::simt

using namespace foretoken::simt;

cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
  if (value < 0 || static_cast<size_t>(value) > SharedMemory::kLargest) return returned(cudaErrorInvalidValue);
  SharedMemoryLimits& known = limits();
  const std::lock_guard lock(known.mutex);
  known.bytes[kernel] = static_cast<size_t>(value);
  return cudaSuccess;
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void* kernel, int block_size,
                                                          size_t dynamic_shared_bytes) {
  if (block_size < 1 || block_size > 1024 || dynamic_shared_bytes > limits().of(kernel)) {
    return returned(cudaErrorInvalidValue);
  }
  constexpr size_t kThreads = 2048, kBlocks = 32, kSharedOfSystem = 1024;
  const size_t by_threads = kThreads / static_cast<size_t>((block_size + 31) / 32 * 32);
  const size_t by_memory = (SharedMemory::kLargest + kSharedOfSystem) / (dynamic_shared_bytes + kSharedOfSystem);
  *blocks = static_cast<int>(std::min({kBlocks, by_threads, by_memory}));
  return cudaSuccess;
}
