// What the driver's cuTensorMapEncodeTiled does, and refuses, for the tensor maps of csrc/cuda/linear/tensor_map.h.
#include "csrc/cuda/linear/tensor_map.h"

#include "csrc/cuda/context.h"

namespace foretoken::cuda {

TensorMap encode_tensor_map(const TensorShape& shape) {
  constexpr uint32_t kElementBytes[] = {2, 2, 4}, kSwizzleBytes[] = {0, 32, 64, 128};
  constexpr uint64_t kMostElements = uint64_t{1} << 32, kMostRowBytes = uint64_t{1} << 40;
  TensorMap map{};
  map.mark = TensorMap::kMark;
  map.address = static_cast<unsigned char*>(shape.address);
  map.columns = shape.columns;
  map.rows = shape.rows;
  map.row_bytes = shape.row_bytes;
  map.element_bytes = kElementBytes[static_cast<int>(shape.element)];
  map.is_float32 = shape.element == TensorElement::kFloat32;
  map.box_columns = shape.box_columns;
  map.box_rows = shape.box_rows;
  map.swizzle_bytes = kSwizzleBytes[static_cast<int>(shape.swizzle)];
  const auto within = [](uint64_t value, uint64_t most) { return value >= 1 && value <= most; };
  const bool valid = reinterpret_cast<uintptr_t>(shape.address) % 16 == 0 && within(shape.columns, kMostElements) &&
                     within(shape.rows, kMostElements) && shape.row_bytes % 16 == 0 &&
                     shape.row_bytes < kMostRowBytes && within(shape.box_columns, 256) && within(shape.box_rows, 256) &&
                     map.box_row_bytes() % 16 == 0 &&
                     (map.swizzle_bytes == 0 || map.box_row_bytes() == map.swizzle_bytes);
  if (!valid) throw CudaFailure(cudaErrorInvalidValue, "cuTensorMapEncodeTiled");
  return map;
}

}  // namespace foretoken::cuda
