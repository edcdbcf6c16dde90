#include "csrc/core/kv_cache.h"

#include <algorithm>

namespace foretoken {

KvCache::KvCache(const std::shared_ptr<Device>& device, const KvCacheSizes& sizes, const char* purpose)
    : sizes_(sizes),
      blocks_((sizes.capacity + kKvPage - 1) / kKvPage),
      table_(std::make_shared<Storage>(device, sizes.sequences * blocks_ * int64_t{sizeof(void*)}, purpose)),
      limits_(std::make_shared<Storage>(device, sizes.sequences * int64_t{sizeof(int32_t)}, purpose)),
      reserved_(at(sizes.sequences)),
      sequences_(at(sizes.sequences)) {
  device->backend().upload(limits_->data, reserved_.data(), limits_->bytes);
}

void KvCache::reserve(int64_t sequence, int64_t positions, const char* purpose) {
  std::vector<Tensor>& pages = sequences_[at(sequence)];
  const int64_t before = pages_of(sequence), after = (positions + kKvPage - 1) / kKvPage;
  if (after <= before) return;
  grow(after - before, purpose);
  pages.reserve(at(after));
  // The device sees the pages only with the new limit, so nothing has changed if a call fails before that.
  Backend& backend = device()->backend();
  std::vector<void*> addresses;
  for (auto page = free_.rbegin(); page != free_.rbegin() + (after - before); ++page) {
    backend.run(FillArgs{page->data(), page->shape.count(), 0, page->dtype});
    addresses.push_back(page->data());
  }
  backend.upload(static_cast<void**>(table_->data) + sequence * blocks_ + before, addresses.data(),
                 (after - before) * int64_t{sizeof(void*)});
  set_reserved(sequence, std::min(after * kKvPage, sizes_.capacity));
  for (int64_t i = before; i < after; ++i) {
    pages.push_back(std::move(free_.back()));
    free_.pop_back();
  }
}

void KvCache::release(int64_t sequence) {
  set_reserved(sequence, 0);
  std::vector<Tensor>& pages = sequences_[at(sequence)];
  for (; !pages.empty(); pages.pop_back()) free_.push_back(std::move(pages.back()));
}

void KvCache::set_reserved(int64_t sequence, int64_t positions) {
  const auto limit = static_cast<int32_t>(positions);
  device()->backend().upload(static_cast<int32_t*>(limits_->data) + sequence, &limit, sizeof limit);
  reserved_[at(sequence)] = limit;
}

void KvCache::grow(int64_t free_pages, const char* purpose) {
  const int64_t missing = free_pages - static_cast<int64_t>(free_.size());
  if (missing <= 0) return;
  // Doubles the pool, so that texts grow by few allocations, unless memory is short or no text could use that much.
  int64_t count = std::max(missing, std::min(pages_, sizes_.sequences * blocks_ - pages_));
  Shape shape = page_shape();
  for (int i = shape.rank++; i > 0; --i) shape.dims[i] = shape.dims[i - 1];
  const auto allocate = [&]() -> Tensor {
    for (;; count = std::max(missing, count / 2)) {
      shape.dims[0] = count;
      try {
        return make_tensor(device(), sizes_.dtype, shape, purpose);
      } catch (const Error& error) {
        if (error.code != ErrorCode::kOutOfMemory || count == missing) throw;
      }
    }
  };
  Tensor page = allocate();
  free_.reserve(at(pages_ + count));
  bytes_ += page.bytes();
  page.shape = page_shape();
  for (int64_t i = count; i-- > 0;) {
    page.offset = i * page.bytes();
    free_.push_back(page);
  }
  pages_ += count;
}

KvCacheView KvCache::view() const {
  return {static_cast<void* const*>(table_->data),
          static_cast<const int32_t*>(limits_->data),
          sizes_.layers,
          sizes_.sequences,
          sizes_.kv_heads,
          blocks_,
          sizes_.head_dim,
          sizes_.dtype};
}

KvCacheView KvCache::checked_view() const {
  KvCacheView known = view();
  known.reserved = reserved_.data();
  return known;
}

}  // namespace foretoken
