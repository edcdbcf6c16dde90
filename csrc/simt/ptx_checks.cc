#include "csrc/simt/ptx_checks.h"

#include "csrc/simt/scheduler.h"

namespace foretoken::simt {

unsigned char* checked_shared(const void* address, size_t bytes, size_t alignment) {
  Thread& thread = current_thread();
  SharedMemory& shared = thread.block->shared;
  const auto refuse = [&](const std::string& problem) { fail(thread.place.operation + (": " + problem)); };
  if (!shared.holds(address)) refuse("the address is not in the block's shared memory");
  const uint32_t offset = shared.offset(address);
  if (offset % alignment != 0) {
    refuse("the address in shared memory is not aligned to " + std::to_string(alignment) +
           " bytes: " + shared.describe(offset, bytes));
  }
  if (!shared.is_allocated(offset, bytes)) refuse("out of bounds: " + shared.describe(offset, bytes));
  return shared.at(offset);
}

namespace ptx {

uint32_t shared_address(const void* pointer) {
  begin_operation("__cvta_generic_to_shared", __builtin_return_address(0));
  return current_thread().block->shared.offset(checked_shared(pointer, 1, 1));
}

}  // namespace ptx

}  // namespace foretoken::simt
