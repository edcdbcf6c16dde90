#include "csrc/core/allocator.h"

#include <algorithm>

#include "csrc/core/backend.h"

namespace foretoken {

namespace {

// Sizes are rounded so that tensors of nearly the same size can reuse each other's blocks.
int64_t rounded(int64_t bytes) {
  const int64_t step = bytes < (1 << 20) ? 512 : 1 << 16;
  return std::max<int64_t>(step, (bytes + step - 1) / step * step);
}

}  // namespace

Allocator::~Allocator() { trim(); }

void* Allocator::allocate(int64_t bytes, const char* purpose) {
  const auto out_of_memory = [&] {
    return make_error(ErrorCode::kOutOfMemory,
                      "%s: out of memory: %lld bytes asked for, %lld in use, %lld reserved, limit %lld", purpose,
                      static_cast<long long>(bytes), static_cast<long long>(statistics_.live),
                      static_cast<long long>(statistics_.reserved), static_cast<long long>(limit_));
  };
  if (bytes < 0 || bytes > limit_) throw out_of_memory();
  const int64_t size = rounded(bytes);
  void* memory = take_cached(size);
  if (memory == nullptr) {
    if (statistics_.reserved + size > limit_) trim();
    if (statistics_.reserved + size > limit_) throw out_of_memory();
    memory = backend_.allocate(static_cast<size_t>(size));
    if (memory == nullptr) {
      trim();
      memory = backend_.allocate(static_cast<size_t>(size));
    }
    if (memory == nullptr) throw out_of_memory();
    blocks_.emplace(memory, size);
    statistics_.reserved += size;
  }
  statistics_.live += blocks_.at(memory);
  statistics_.peak = std::max(statistics_.peak, statistics_.live);
  return memory;
}

void* Allocator::take_cached(int64_t size) {
  const auto found = free_by_size_.lower_bound(size);
  // A block much larger than asked for is left for whoever needs it.
  if (found == free_by_size_.end() || found->first > size + size / 4) return nullptr;
  void* memory = found->second;
  free_by_size_.erase(found);
  return memory;
}

void Allocator::free(void* memory) noexcept {
  if (memory == nullptr) return;
  const int64_t size = blocks_.at(memory);
  statistics_.live -= size;
  free_by_size_.emplace(size, memory);
}

void Allocator::trim() {
  if (free_by_size_.empty()) return;
  backend_.wait();
  for (const auto& [size, memory] : free_by_size_) {
    backend_.release(memory);
    blocks_.erase(memory);
    statistics_.reserved -= size;
  }
  free_by_size_.clear();
}

}  // namespace foretoken
