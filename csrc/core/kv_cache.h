// The memory of a KV cache, which grows with the texts: pages of kKvPage positions, cut from chunks. Memory never moves,
// so captured work stays valid while sequences get pages and give them back. Kernels find the pages of a sequence in a
// table on the device, which only this class writes.
#pragma once

#include <memory>
#include <vector>

#include "csrc/core/tensor.h"

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
  // Returns a sequence's pages to the pool. Work that is enqueued already still finds its pages as they are, because
  // whatever reuses them is enqueued behind it.
  void release(int64_t sequence);

  const KvCacheSizes& sizes() const { return sizes_; }
  const std::shared_ptr<Device>& device() const { return table_->device; }
  // Bytes of all pages, in use or free.
  int64_t bytes() const { return bytes_; }
  // Positions that each sequence has room for.
  const std::vector<int32_t>& reserved() const { return reserved_; }
  // One page of a sequence, [layers, 2, kv_heads, kKvPage, head_dim].
  const Tensor& page(int64_t sequence, int64_t number) const { return sequences_[at(sequence)][at(number)]; }
  int64_t pages_of(int64_t sequence) const { return static_cast<int64_t>(sequences_[at(sequence)].size()); }

  // The cache as kernels see it.
  KvCacheView view() const;
  // The same with `reserved` in host memory, for checks before a kernel runs.
  KvCacheView checked_view() const;

 private:
  static size_t at(int64_t index) { return static_cast<size_t>(index); }
  Shape page_shape() const { return {sizes_.layers, 2, sizes_.kv_heads, kKvPage, sizes_.head_dim}; }
  // Makes sure that the pool has so many free pages.
  void grow(int64_t free_pages, const char* purpose);
  void set_reserved(int64_t sequence, int64_t positions);

  const KvCacheSizes sizes_;
  const int64_t blocks_;                   // columns of the table
  const std::shared_ptr<Storage> table_;   // void* [sequences, blocks]: entries behind a sequence's pages are undefined
  const std::shared_ptr<Storage> limits_;  // int32 [sequences]: reserved_, on the device
  std::vector<int32_t> reserved_;
  std::vector<std::vector<Tensor>> sequences_;  // pages of each
  std::vector<Tensor> free_;                    // the next one last
  int64_t pages_ = 0, bytes_ = 0;               // of all chunks
};

}  // namespace foretoken
