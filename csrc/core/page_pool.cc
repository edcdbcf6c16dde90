#include "csrc/core/page_pool.h"

#include <algorithm>

namespace foretoken {

PagePool::PagePool(const std::shared_ptr<Device>& device, DType dtype, const Shape& page, int64_t sequences,
                   int64_t most, const char* purpose)
    : dtype_(dtype),
      page_(page),
      most_(most),
      table_(std::make_shared<Storage>(device, sequences * most * int64_t{sizeof(void*)}, purpose)),
      limits_(std::make_shared<Storage>(device, sequences * int64_t{sizeof(int32_t)}, purpose)),
      known_limits_(at(sequences)),
      sequences_(at(sequences)) {
  device->backend().upload(limits_->data, known_limits_.data(), limits_->bytes);
}

void PagePool::reserve(int64_t sequence, int64_t count, int64_t limit, const char* purpose) {
  std::vector<Tensor>& pages = sequences_[at(sequence)];
  const int64_t before = pages_of(sequence);
  grow(count - before, purpose);
  pages.reserve(at(count));
  // The device sees the pages only with the new limit, so nothing has changed if a call fails before that.
  Backend& backend = device()->backend();
  std::vector<void*> addresses;
  for (auto page = free_.rbegin(); page != free_.rbegin() + (count - before); ++page) {
    backend.run(FillArgs{page->data(), page->shape.count(), 0, page->dtype});
    addresses.push_back(page->data());
  }
  backend.upload(static_cast<void**>(table_->data) + sequence * most_ + before, addresses.data(),
                 (count - before) * int64_t{sizeof(void*)});
  set_limit(sequence, limit);
  for (int64_t i = before; i < count; ++i) {
    pages.push_back(std::move(free_.back()));
    free_.pop_back();
  }
}

void PagePool::release(int64_t sequence) {
  set_limit(sequence, 0);
  std::vector<Tensor>& pages = sequences_[at(sequence)];
  for (; !pages.empty(); pages.pop_back()) free_.push_back(std::move(pages.back()));
}

void PagePool::set_limit(int64_t sequence, int64_t limit) {
  const auto known = static_cast<int32_t>(limit);
  device()->backend().upload(static_cast<int32_t*>(limits_->data) + sequence, &known, sizeof known);
  known_limits_[at(sequence)] = known;
}

void PagePool::grow(int64_t free_pages, const char* purpose) {
  const int64_t missing = free_pages - static_cast<int64_t>(free_.size());
  if (missing <= 0) return;
  // Doubles the pool, so that texts grow by few allocations, unless memory is short or no text could use that much.
  const auto sequences = static_cast<int64_t>(sequences_.size());
  int64_t count = std::max(missing, std::min(pages_, sequences * most_ - pages_));
  Shape shape = page_;
  for (int i = shape.rank++; i > 0; --i) shape.dims[i] = shape.dims[i - 1];
  const auto allocate = [&]() -> Tensor {
    for (;; count = std::max(missing, count / 2)) {
      shape.dims[0] = count;
      try {
        return make_tensor(device(), dtype_, shape, purpose);
      } catch (const Error& error) {
        if (error.code != ErrorCode::kOutOfMemory || count == missing) throw;
      }
    }
  };
  Tensor page = allocate();
  free_.reserve(at(pages_ + count));
  bytes_ += page.bytes();
  page.shape = page_;
  for (int64_t i = count; i-- > 0;) {
    page.offset = i * page.bytes();
    free_.push_back(page);
  }
  pages_ += count;
}

}  // namespace foretoken
