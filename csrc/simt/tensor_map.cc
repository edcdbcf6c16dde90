// Refuses the sizes that the driver's cuTensorMapEncodeTiled refuses.
#include "csrc/simt/tensor_map.h"

namespace foretoken::simt {

bool TensorMap::is_valid() const {
  constexpr uint64_t kMostElements = uint64_t{1} << 32, kMostRowBytes = uint64_t{1} << 40;
  const auto within = [](uint64_t value, uint64_t most) { return value >= 1 && value <= most; };
  return reinterpret_cast<uintptr_t>(address) % 16 == 0 && within(columns, kMostElements) &&
         within(rows, kMostElements) && row_bytes % 16 == 0 && row_bytes < kMostRowBytes && within(box_columns, 256) &&
         within(box_rows, 256) && box_row_bytes() % 16 == 0 && (swizzle_bytes == 0 || box_row_bytes() == swizzle_bytes);
}

}  // namespace foretoken::simt
