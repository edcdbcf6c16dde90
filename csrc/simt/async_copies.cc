#include "csrc/simt/async_copies.h"

#include <cstring>

#include "csrc/simt/memory_access.h"
#include "csrc/simt/ptx_checks.h"
#include "csrc/simt/scheduler.h"

namespace foretoken::simt {

namespace {

void read_source(AsyncCopy& copy) {
  if (copy.has_data) return;
  if (copy.from) std::memcpy(copy.data, copy.from, AsyncCopy::kBytes);
  else std::memset(copy.data, 0, AsyncCopy::kBytes);
  copy.has_data = true;
}

void complete(AsyncCopy& copy) {
  if (copy.done) return;
  read_source(copy);
  std::memcpy(copy.to, copy.data, AsyncCopy::kBytes);
  copy.done = true;
}

// Ends a copy that its thread has waited for. Other threads may read it once they are ordered after this thread.
void end_copy(Thread& thread, AsyncCopy& copy) {
  complete(copy);
  if (!current_launch->checker) return;
  SharedMemory& shared = thread.block->shared;
  shared.mark_in_flight(shared.offset(copy.to), AsyncCopy::kBytes, false);
  check_access_of(thread.actor, thread, copy.to, AsyncCopy::kBytes, kWrite, copy.code);
}

}  // namespace

void finish_copies(Thread& thread) {
  if (!thread.copies.pending.empty()) fail("the thread exits with cp.async copies that it has not waited for");
}

}  // namespace foretoken::simt

namespace foretoken::simt::ptx {

void cp_async_16(void* to, const void* from, bool read) {
  const void* const code = __builtin_return_address(0);
  Thread& thread = begin_operation("cp.async", code);
  Launch& launch = *current_launch;
  auto* const target = checked_shared(to, AsyncCopy::kBytes, AsyncCopy::kBytes);
  if (read && reinterpret_cast<uintptr_t>(from) % AsyncCopy::kBytes != 0) {
    fail("cp.async: the source is not aligned to 16 bytes");
  }
  if (launch.checker) {
    if (read) check_access_of(thread.actor, thread, from, AsyncCopy::kBytes, kRead, code);
    check_access_of(thread.actor, thread, target, AsyncCopy::kBytes, kWrite, code);
    thread.block->shared.mark_in_flight(thread.block->shared.offset(target), AsyncCopy::kBytes, true);
  }
  AsyncCopy copy{
      target, read ? static_cast<const unsigned char*>(from) : nullptr, thread.copies.groups, code, false, false, {}};
  const AsyncCopies when = launch.options.async_copies;
  const bool random = when == AsyncCopies::kRandom;
  if (random && launch.random.below(2)) read_source(copy);
  if (when == AsyncCopies::kEarly || (random && launch.random.below(2))) complete(copy);
  else std::memset(target, 0xff, AsyncCopy::kBytes);
  thread.copies.pending.push_back(copy);
}

void cp_async_commit() { ++current_thread().copies.groups; }

void cp_async_wait_groups(int groups) {
  Thread& thread = begin_operation("cp.async.wait_group", __builtin_return_address(0));
  auto& pending = thread.copies.pending;
  size_t kept = 0;
  for (AsyncCopy& copy : pending) {
    if (copy.group + static_cast<uint32_t>(groups) < thread.copies.groups) end_copy(thread, copy);
    else pending[kept++] = copy;
  }
  pending.resize(kept);
}

}  // namespace foretoken::simt::ptx
