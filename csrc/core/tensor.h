// A tensor: a dense view of a block of device memory, under an integer handle.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "csrc/core/device.h"
#include "csrc/core/ops.h"

namespace foretoken {

constexpr int kMaxRank = 6;
// Dimensions of a shape, multiplied without the zeros: bounds what arithmetic on sizes and bytes can reach.
constexpr int64_t kMaxElements = int64_t{1} << 52;

struct Shape {
  int rank = 0;
  std::array<int64_t, kMaxRank> dims{};

  Shape() = default;
  Shape(std::initializer_list<int64_t> list) {
    for (const int64_t dim : list) dims[rank++] = dim;
  }
  int64_t operator[](int i) const { return dims[i < 0 ? rank + i : i]; }
  int64_t count() const { return product(rank); }
  // All dimensions but the last, multiplied: an op over the last dimension calls them rows. There are rows where the
  // last dimension is 0, too: without elements.
  int64_t rows() const { return product(rank - 1); }
  // The same shape with another last dimension.
  Shape with_last(int64_t last) const {
    Shape shape = *this;
    shape.dims[rank - 1] = last;
    return shape;
  }
  bool operator==(const Shape& other) const;
  std::string text() const;  // "[512, 256]"

 private:
  // Of the first dimensions.
  int64_t product(int dimensions) const {
    int64_t product = 1;
    for (int i = 0; i < dimensions; ++i) product *= dims[i];
    return product;
  }
};

// A block of device memory; goes back to the device's allocator with the last tensor that uses it.
class Storage {
 public:
  Storage(std::shared_ptr<Device> device, int64_t bytes, const char* purpose);
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  const std::shared_ptr<Device> device;
  const int64_t bytes;
  void* const data;
  // Contents of index tensors as they were uploaded, empty when only the device knows them: lets the boundary check
  // indices before anything runs.
  std::vector<int32_t> host_indices;
};

struct Tensor {
  std::shared_ptr<Storage> storage;
  int64_t offset = 0;  // bytes
  Shape shape;
  DType dtype = DType::kFloat32;
  Layout layout = Layout::kRowMajor;

  Device& device() const { return *storage->device; }
  void* data() const { return static_cast<char*>(storage->data) + offset; }
  template <typename T>
  T* as() const {
    return static_cast<T*>(data());
  }
  Matrix matrix() const { return {data(), dtype, layout}; }
  // The contents of an index tensor as far as the host knows them, or null.
  const int32_t* known_indices() const {
    if (storage->host_indices.empty()) return nullptr;
    return storage->host_indices.data() + offset / static_cast<int64_t>(sizeof(int32_t));
  }
  int64_t bytes() const { return shape.count() * static_cast<int64_t>(size_of(dtype)); }
};

// A new tensor of uninitialised memory. Throws when the shape has more elements than can be counted.
Tensor make_tensor(std::shared_ptr<Device> device, DType dtype, const Shape& shape, const char* purpose);

}  // namespace foretoken
