#include "csrc/core/kv_cache.h"

#include <algorithm>

namespace foretoken {

namespace {

int64_t pages_for(int64_t positions) { return (positions + kKvPage - 1) / kKvPage; }

}  // namespace

KvCache::KvCache(const std::shared_ptr<Device>& device, const KvCacheSizes& sizes, const char* purpose)
    : sizes_(sizes),
      pool_(device, sizes.dtype, {sizes.layers, 2, sizes.kv_heads, kKvPage, sizes.head_dim}, sizes.sequences,
            pages_for(sizes.capacity), purpose) {}

void KvCache::reserve(int64_t sequence, int64_t positions, const char* purpose) {
  const int64_t pages = pages_for(positions);
  if (pages <= pages_of(sequence)) return;
  pool_.reserve(sequence, pages, std::min(pages * kKvPage, sizes_.capacity), purpose);
}

KvCacheView KvCache::view() const {
  return {pool_.table(),   pool_.limits(), sizes_.layers, sizes_.sequences, sizes_.kv_heads, pages_for(sizes_.capacity),
          sizes_.head_dim, sizes_.dtype};
}

KvCacheView KvCache::checked_view() const {
  KvCacheView known = view();
  known.reserved = reserved().data();
  return known;
}

}  // namespace foretoken
