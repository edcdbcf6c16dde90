#include "csrc/core/tensor.h"

namespace foretoken {

bool Shape::operator==(const Shape& other) const {
  if (rank != other.rank) return false;
  for (int i = 0; i < rank; ++i) {
    if (dims[i] != other.dims[i]) return false;
  }
  return true;
}

std::string Shape::text() const {
  std::string out = "[";
  for (int i = 0; i < rank; ++i) out += (i ? ", " : "") + std::to_string(dims[i]);
  return out + "]";
}

Storage::Storage(std::shared_ptr<Device> owner, int64_t bytes, const char* purpose)
    : device(std::move(owner)), bytes(bytes), data(device->allocator().allocate(bytes, purpose)) {}

Storage::~Storage() { device->allocator().free(data); }

Tensor make_tensor(std::shared_ptr<Device> device, DType dtype, const Shape& shape, const char* purpose) {
  int64_t product = 1;
  for (int i = 0; i < shape.rank; ++i) {
    const int64_t dim = shape.dims[i] > 0 ? shape.dims[i] : 1;
    if (dim > kMaxElements / product) {
      throw make_error(ErrorCode::kOutOfMemory,
                       "%s: shape %s has more than 2^52 elements, the most that a tensor may have", purpose,
                       shape.text().c_str());
    }
    product *= dim;
  }
  Tensor tensor;
  tensor.shape = shape;
  tensor.dtype = dtype;
  tensor.storage = std::make_shared<Storage>(std::move(device), tensor.bytes(), purpose);
  return tensor;
}

}  // namespace foretoken
