// Pages of device memory that sequences get and give back, cut from chunks. Memory never moves, so captured work stays
// valid while sequences get pages and return them. Kernels find the pages of a sequence in a table on the device, which
// only this class writes.
#pragma once

#include <memory>
#include <vector>

#include "csrc/core/tensor.h"

namespace foretoken {

class PagePool {
 public:
  // Makes a pool without pages, for up to `most` pages of each sequence. Throws kOutOfMemory, naming `purpose`, as
  // reserve() does.
  PagePool(const std::shared_ptr<Device>& device, DType dtype, const Shape& page, int64_t sequences, int64_t most,
           const char* purpose);

  // Gives a sequence pages until it has `count`, more than before, and sets its limit. New pages hold zeros. If it
  // throws, no sequence has changed.
  void reserve(int64_t sequence, int64_t count, int64_t limit, const char* purpose);
  // Returns a sequence's pages to the pool, and sets its limit to 0. Work that is enqueued already still finds its pages
  // as they are, because whatever reuses them is enqueued behind it.
  void release(int64_t sequence);

  const std::shared_ptr<Device>& device() const { return table_->device; }
  // Bytes of all pages, in use or free.
  int64_t bytes() const { return bytes_; }
  const Tensor& page(int64_t sequence, int64_t number) const { return sequences_[at(sequence)][at(number)]; }
  int64_t pages_of(int64_t sequence) const { return static_cast<int64_t>(sequences_[at(sequence)].size()); }

  // In device memory: void* [sequences, most], of which entries behind a sequence's pages are undefined.
  void* const* table() const { return static_cast<void* const*>(table_->data); }
  // [sequences]: what a kernel may use of each sequence; in device memory, and the same in host memory.
  const int32_t* limits() const { return static_cast<const int32_t*>(limits_->data); }
  const std::vector<int32_t>& known_limits() const { return known_limits_; }

 private:
  static size_t at(int64_t index) { return static_cast<size_t>(index); }
  // Makes sure that the pool has so many free pages.
  void grow(int64_t free_pages, const char* purpose);
  void set_limit(int64_t sequence, int64_t limit);

  const DType dtype_;
  const Shape page_;
  const int64_t most_;
  const std::shared_ptr<Storage> table_, limits_;
  std::vector<int32_t> known_limits_;
  std::vector<std::vector<Tensor>> sequences_;  // pages of each
  std::vector<Tensor> free_;                    // the next one last
  int64_t pages_ = 0, bytes_ = 0;               // of all chunks
};

}  // namespace foretoken
