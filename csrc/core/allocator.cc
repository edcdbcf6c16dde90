#include "csrc/core/allocator.h"

#include <algorithm>

#include "csrc/core/backend.h"

namespace foretoken {

namespace {

// Rounds sizes up so that tensors of nearly the same size can reuse each other's blocks.
int64_t rounded(int64_t bytes) {
  const int64_t step = bytes < (1 << 20) ? 512 : 1 << 16;
  return std::max<int64_t>(step, (bytes + step - 1) / step * step);
}

}  // namespace

Allocator::~Allocator() { release_cached(); }

void* Allocator::allocate(int64_t bytes, const char* purpose) {
  const auto out_of_memory = [&] {
    return make_error(ErrorCode::kOutOfMemory,
                      "%s: out of memory: %lld bytes requested, %lld in use, %lld reserved, limit %lld", purpose,
                      lld(bytes), lld(statistics_.live), lld(statistics_.reserved), lld(limit_));
  };
  if (bytes < 0 || bytes > limit_) throw out_of_memory();
  const int64_t size = rounded(bytes);
  void* memory = pool_ ? take_cached(*pool_, size) : nullptr;
  if (memory == nullptr) memory = take_cached(shared_pool_, size);
  if (memory == nullptr) {
    if (statistics_.reserved + size > limit_) trim();
    if (statistics_.reserved + size > limit_) throw out_of_memory();
    memory = backend_.allocate(static_cast<size_t>(size));
    if (memory == nullptr) {
      trim();
      memory = backend_.allocate(static_cast<size_t>(size));
    }
    if (memory == nullptr) throw out_of_memory();
    blocks_.emplace(memory, Block{size, nullptr});
    statistics_.reserved += size;
  }
  Block& block = blocks_.at(memory);
  if (pool_ != nullptr && block.pool != pool_) {
    block.pool = pool_;
    pool_->blocks.push_back(memory);
  }
  statistics_.live += block.size;
  statistics_.peak = std::max(statistics_.peak, statistics_.live);
  if (poison_) backend_.poison(memory, block.size, bytes);
  return memory;
}

void* Allocator::take_cached(Pool& pool, int64_t size) {
  const auto found = pool.free_by_size.lower_bound(size);
  // Leaves a block that is much larger than the request for a larger request.
  if (found == pool.free_by_size.end() || found->first > size + size / 4) return nullptr;
  void* memory = found->second;
  pool.free_by_size.erase(found);
  return memory;
}

void Allocator::free(void* memory) noexcept {
  if (memory == nullptr) return;
  const Block& block = blocks_.at(memory);
  statistics_.live -= block.size;
  Pool& pool = block.pool ? *block.pool : shared_pool_;
  pool.free_by_size.emplace(block.size, memory);
}

bool Allocator::is_in(const Pool& pool, const void* memory) const { return blocks_.at(memory).pool == &pool; }

void Allocator::dissolve(Pool& pool) noexcept {
  for (const void* memory : pool.blocks) blocks_.at(memory).pool = nullptr;
  shared_pool_.free_by_size.merge(pool.free_by_size);
}

void Allocator::trim() {
  if (shared_pool_.free_by_size.empty()) return;
  backend_.wait();
  release_cached();
}

void Allocator::release_cached() noexcept {
  auto& free = shared_pool_.free_by_size;
  for (const auto& [size, memory] : free) {
    backend_.release(memory);
    blocks_.erase(memory);
    statistics_.reserved -= size;
  }
  free.clear();
}

}  // namespace foretoken
