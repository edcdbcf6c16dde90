#include "csrc/simt/shared_memory.h"

#include <sys/mman.h>

#include <cstring>
#include <new>
#include <string>
#include <utility>

#include "csrc/simt/scheduler.h"
#include "csrc/simt/shared_variables.h"

namespace foretoken::simt {

namespace {

constexpr int kPoison = 0xff;  // not a number in every type of float

}  // namespace

SharedMemory::SharedMemory(SharedMemory&& other) noexcept : memory_(std::exchange(other.memory_, nullptr)) {}

SharedMemory::~SharedMemory() {
  if (memory_) munmap(memory_, kArenaBytes);
}

void SharedMemory::reset(size_t dynamic_bytes) {
  if (!memory_) {
    void* const memory = mmap(nullptr, kArenaBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    memory_ = static_cast<unsigned char*>(memory);
  }
  dynamic_bytes_ = dynamic_bytes;
  end_ = kDynamicOffset + dynamic_bytes;
  variables_.clear();
  std::memset(memory_, kPoison, end_ + kGap);
}

unsigned char* SharedMemory::variable(const void* key, const char* name, size_t bytes, size_t alignment) {
  for (const Variable& known : variables_) {
    if (known.key == key) return memory_ + known.offset;
  }
  const size_t offset = (end_ + kGap + alignment - 1) / alignment * alignment;
  size_t used = dynamic_bytes_ + bytes;
  for (const Variable& known : variables_) used += known.bytes;
  if (used > kLargest || offset + bytes > kArenaBytes) return nullptr;
  std::memset(memory_ + end_, kPoison, offset + bytes - end_);
  variables_.push_back({key, name, offset, bytes});
  end_ = offset + bytes;
  return memory_ + offset;
}

bool SharedMemory::is_allocated(uint32_t offset, size_t bytes) const {
  const auto within = [&](size_t begin, size_t size) { return offset >= begin && offset + bytes <= begin + size; };
  if (within(kDynamicOffset, dynamic_bytes_)) return true;
  for (const Variable& variable : variables_) {
    if (within(variable.offset, variable.bytes)) return true;
  }
  return false;
}

void* shared_variable(const void* key, const char* name, size_t bytes, size_t alignment) {
  void* const memory = current_thread().block->shared.variable(key, name, bytes, alignment);
  if (!memory) fail("shared memory: " + std::string(name) + " is one too many for a block's 227 KiB");
  return memory;
}

void* dynamic_shared_memory() { return current_thread().block->shared.dynamic(); }

}  // namespace foretoken::simt
