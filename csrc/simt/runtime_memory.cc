// Allocates, frees, copies and fills memory.
#include <cstring>
#include <memory>

#include "csrc/simt/device_memory.h"
#include "csrc/simt/runtime_stream.h"

using namespace foretoken::simt;

namespace {

cudaError_t allocate(void** memory, size_t bytes, MemoryKind kind) {
  if (!memory) return returned(cudaErrorInvalidValue);
  *memory = nullptr;
  if (bytes == 0) return cudaSuccess;
  *memory = allocate_memory(bytes, kind, configured().memory_bytes);
  return returned(*memory ? cudaSuccess : cudaErrorMemoryAllocation);
}

cudaError_t release(void* memory, MemoryKind kind) {
  if (!memory) return cudaSuccess;
  wait_for_streams();
  return returned(free_memory(memory, kind) ? cudaSuccess : cudaErrorInvalidValue);
}

// Whether memory has been freed since it was given to a call.
bool is_gone(const void* address) { return is_in_device_range(address) && !find_allocation(address); }

bool is_device_memory(const void* address) {
  const Allocation* const allocation = find_allocation(address);
  return allocation && allocation->kind == MemoryKind::kDevice;
}

// Checks that `kind` is the direction of the copy, and that the bytes on the device lie within an allocation.
cudaError_t check_copy(const void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  const bool says = kind != cudaMemcpyDefault;
  const auto check = [&](const void* address, bool on_device) {
    const Allocation* const allocation = find_allocation(address);
    if (allocation && !allocation->holds(address, bytes)) return cudaErrorInvalidValue;
    const bool is_device = allocation && allocation->kind == MemoryKind::kDevice;
    return says && is_device != on_device ? cudaErrorInvalidValue : cudaSuccess;
  };
  const cudaError_t error = check(to, to_device);
  return error ? error : check(from, from_device);
}

}  // namespace

cudaError_t cudaMalloc(void** memory, size_t bytes) { return allocate(memory, bytes, MemoryKind::kDevice); }
cudaError_t cudaFree(void* memory) { return release(memory, MemoryKind::kDevice); }
cudaError_t cudaHostAlloc(void** memory, size_t bytes, unsigned) {
  return allocate(memory, bytes, MemoryKind::kPinned);
}
cudaError_t cudaFreeHost(void* memory) { return release(memory, MemoryKind::kPinned); }

cudaError_t cudaMallocAsync(void** memory, size_t bytes, cudaStream_t handle) {
  CUstream_st& stream = stream_of(handle);
  if (stream.capture) return invalidate(stream, cudaErrorNotSupported);
  stream.worker.wait();  // so that memory which was freed earlier in stream order is available
  return allocate(memory, bytes, MemoryKind::kDevice);
}

cudaError_t cudaFreeAsync(void* memory, cudaStream_t handle) {
  if (!memory) return cudaSuccess;
  if (!is_device_memory(memory)) return returned(cudaErrorInvalidValue);
  CUstream_st& stream = stream_of(handle);
  if (stream.capture) return invalidate(stream, cudaErrorNotSupported);
  // Frees memory also after a failure.
  submit(stream, [memory](CUstream_st&) { free_memory(memory, MemoryKind::kDevice); });
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t handle) {
  if (bytes == 0) return cudaSuccess;
  if (const cudaError_t error = check_copy(to, from, bytes, kind)) return returned(error);
  CUstream_st& target = stream_of(handle);
  if (target.capture && (!find_allocation(from) || !find_allocation(to))) return invalidate(target);
  std::shared_ptr<const char[]> staged;
  if (!find_allocation(from)) {
    // Pageable memory of the host may change as soon as this returns.
    const std::shared_ptr<char[]> copy(new char[bytes]);
    std::memcpy(copy.get(), from, bytes);
    staged = copy;
  }
  const auto copy = [=](CUstream_st& stream) {
    if (stream.failure) return;
    const void* const source = staged ? staged.get() : from;
    for (const void* address : {source, const_cast<const void*>(to)}) {
      if (is_gone(address)) return fail(stream, "cudaMemcpyAsync: " + describe_device_memory(address, bytes));
    }
    std::memcpy(to, source, bytes);
    if (find_allocation(to)) mark_written(to, bytes);
  };
  return returned(enqueue(handle, copy), &target);
}

cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t handle) {
  if (bytes == 0) return cudaSuccess;
  const Allocation* const allocation = find_allocation(memory);
  if (!allocation || !allocation->holds(memory, bytes)) return returned(cudaErrorInvalidValue);
  const auto fill = [=](CUstream_st& stream) {
    if (stream.failure) return;
    if (is_gone(memory)) return fail(stream, "cudaMemsetAsync: " + describe_device_memory(memory, bytes));
    std::memset(memory, value, bytes);
    mark_written(memory, bytes);
  };
  return returned(enqueue(handle, fill), &stream_of(handle));
}
