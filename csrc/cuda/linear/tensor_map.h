// Tensor maps tell the copy engine where boxes of a matrix lie in device memory and how to lay them out in shared
// memory.
#pragma once

#include <cstdint>

#include "csrc/cuda/platform.h"

#ifdef FORETOKEN_EMULATED
#include "csrc/simt/tensor_map.h"
#else
#include <cuda.h>
#endif

namespace foretoken::cuda {

#ifdef FORETOKEN_EMULATED
using TensorMap = simt::TensorMap;
#else
// Passed to a kernel as `const __grid_constant__ TensorMap map`.
using TensorMap = CUtensorMap;
#endif

// The length of a box's rows in shared memory. The pieces of 16 bytes lie in another order in every row, so that a
// column of pieces lies in different banks: piece p of row r is at p ^ r % 8 (rows of 128 bytes), p ^ r / 2 % 4 (64),
// or p ^ r / 4 % 2 (32), counting rows from an address that is a multiple of 1024, 512 or 256.
enum class Swizzle : uint32_t { kNone, k32Bytes, k64Bytes, k128Bytes };

enum class TensorElement : uint32_t { kBFloat16, kFloat16, kFloat32 };

struct TensorShape {
  void* address;  // a multiple of 16
  TensorElement element;
  uint64_t columns, rows;
  uint64_t row_bytes;              // between rows, a multiple of 16
  uint32_t box_columns, box_rows;  // at most 256; a row of the box is a multiple of 16 bytes
  Swizzle swizzle;                 // the length of a row of the box, unless kNone
};

// Throws CudaFailure if the driver refuses the shape.
TensorMap encode_tensor_map(const TensorShape& shape);

}  // namespace foretoken::cuda
