// The memory of a KV cache, which grows with the texts: pages of kKvPage positions.
#pragma once

#include <memory>
#include <vector>

#include "csrc/core/page_pool.h"

namespace foretoken {

struct KvCacheSizes {
  int64_t layers, kv_heads, head_dim;
  int64_t capacity;  // the most positions of a sequence
  int64_t sequences;
  DType dtype;
};

class KvCache {
 public:
  // Makes a cache without pages. Throws kOutOfMemory, naming `purpose`, as reserve() does.
  KvCache(const std::shared_ptr<Device>& device, const KvCacheSizes& sizes, const char* purpose);

  // Gives a sequence room for `positions` positions, at most the capacity; never takes any away. New pages hold zeros.
  // If it throws, no sequence has changed.
  void reserve(int64_t sequence, int64_t positions, const char* purpose);
  // Returns a sequence's pages to the pool.
  void release(int64_t sequence) { pool_.release(sequence); }

  const KvCacheSizes& sizes() const { return sizes_; }
  const std::shared_ptr<Device>& device() const { return pool_.device(); }
  // Bytes of all pages, in use or free.
  int64_t bytes() const { return pool_.bytes(); }
  // Positions that each sequence has room for.
  const std::vector<int32_t>& reserved() const { return pool_.known_limits(); }
  // One page of a sequence, [layers, 2, kv_heads, kKvPage, head_dim].
  const Tensor& page(int64_t sequence, int64_t number) const { return pool_.page(sequence, number); }
  int64_t pages_of(int64_t sequence) const { return pool_.pages_of(sequence); }

  // The cache as kernels see it.
  KvCacheView view() const;
  // The same with `reserved` in host memory, for checks before a kernel runs.
  KvCacheView checked_view() const;

 private:
  const KvCacheSizes sizes_;
  PagePool pool_;
};

}  // namespace foretoken
