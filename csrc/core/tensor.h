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
// Bounds the product of a shape's nonzero dimensions, so that arithmetic on sizes and bytes cannot overflow.
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
  // Product of all dimensions except the last: the rows of an op over the last dimension. A shape whose last dimension
  // is 0 has rows, too, without elements.
  int64_t rows() const { return product(rank - 1); }
  // Returns this shape with another last dimension.
  Shape with_last(int64_t last) const {
    Shape shape = *this;
    shape.dims[rank - 1] = last;
    return shape;
  }
  bool operator==(const Shape& other) const;
  std::string text() const;  // "[512, 256]"

 private:
  // Product of the first `dimensions` dimensions.
  int64_t product(int dimensions) const {
    int64_t product = 1;
    for (int i = 0; i < dimensions; ++i) product *= dims[i];
    return product;
  }
};

// A block of device memory, returned to the device's allocator together with the last tensor that uses it.
class Storage {
 public:
  Storage(std::shared_ptr<Device> device, int64_t bytes, const char* purpose);
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  const std::shared_ptr<Device> device;
  const int64_t bytes;
  void* const data;
  // Contents of an index tensor as uploaded, so that the addon can check indices before anything runs; empty if only
  // the device knows them.
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
  // Contents of an index tensor if the host knows them, or null.
  const int32_t* known_indices() const {
    if (storage->host_indices.empty()) return nullptr;
    return storage->host_indices.data() + offset / int64_t{sizeof(int32_t)};
  }
  int64_t bytes() const { return shape.count() * size_of(dtype); }
};

// Makes a tensor of uninitialised memory. Throws if the shape exceeds kMaxElements.
Tensor make_tensor(std::shared_ptr<Device> device, DType dtype, const Shape& shape, const char* purpose);

}  // namespace foretoken
