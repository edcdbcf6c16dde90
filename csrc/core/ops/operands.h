// The operands that operations of all families have.
#pragma once

#include <cstdint>

#include "csrc/core/dtype.h"

namespace foretoken {

// How a matrix lies in memory. Both packed layouts are private to the backend that packed the matrix:
//   kPanels  for products in the type of the activations; elements keep their type
//   kDot     for products in the matrix's own type, bfloat16 or int8; activations are converted to that type first
enum class Layout : uint8_t { kRowMajor, kPanels, kDot };

// A matrix of any floating type or in a dot format: the weight of a linear layer, an embedding table, hidden states.
struct Matrix {
  const void* data;
  DType dtype;
  Layout layout;
};

struct Workspace {
  void* data = nullptr;  // null if bytes is 0
  int64_t bytes = 0;
};

}  // namespace foretoken
