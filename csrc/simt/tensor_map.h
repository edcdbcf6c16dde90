// The content of a tensor map on the emulator.
#pragma once

#include <cstdint>

namespace foretoken::simt {

// As large and as aligned as CUDA's.
struct alignas(64) TensorMap {
  static constexpr uint64_t kMark = 0x70616d726f736e65;

  uint64_t mark;  // kMark
  unsigned char* address;
  uint64_t columns, rows, row_bytes;
  uint32_t element_bytes;
  uint32_t is_float32;
  uint32_t box_columns, box_rows;
  uint32_t swizzle_bytes;  // 0: none
  uint64_t unused[8];

  uint32_t box_row_bytes() const { return box_columns * element_bytes; }
  uint32_t box_bytes() const { return box_row_bytes() * box_rows; }
  // Whether the driver's cuTensorMapEncodeTiled would accept these sizes.
  bool is_valid() const;
};
static_assert(sizeof(TensorMap) == 128);

// Returns the address in shared memory of the byte at `address` after rows of `swizzle_bytes` are swizzled.
constexpr uint32_t swizzled(uint32_t address, uint32_t swizzle_bytes) {
  return swizzle_bytes == 0 ? address : address ^ (address >> 3 & (swizzle_bytes - 16));
}

}  // namespace foretoken::simt
