#include "csrc/simt/ptx_checks.h"

#include "csrc/simt/scheduler.h"

namespace foretoken::simt {

unsigned char* checked_shared(const void* address, size_t bytes, size_t alignment) {
  Thread& thread = current_thread();
  SharedMemory& shared = thread.block->shared;
  const std::string operation = thread.place.operation;
  if (!shared.holds(address)) fail(operation + ": the address is not in the block's shared memory");
  const uint32_t offset = shared.offset(address);
  if (offset % alignment != 0) {
    fail(operation + ": the address in shared memory is not aligned to " + std::to_string(alignment) + " bytes");
  }
  if (!shared.is_allocated(offset, bytes)) {
    fail(operation + ": out of bounds: " + std::to_string(bytes) + " bytes at " + std::to_string(offset) +
         " of shared memory lie in no variable");
  }
  return shared.at(offset);
}

namespace ptx {

uint32_t shared_address(const void* pointer) {
  current_thread().place = {"__cvta_generic_to_shared", __builtin_return_address(0)};
  return current_thread().block->shared.offset(checked_shared(pointer, 1, 1));
}

}  // namespace ptx

}  // namespace foretoken::simt
