// Element types of tensors, under the names that TypeScript uses.
#pragma once

#include <cstdint>

namespace foretoken {

// int8 exists only as a dot format of weights, in which groups of numbers share a scale, so a weight takes more bytes
// than its number of elements.
enum class DType : uint8_t { kFloat32, kBFloat16, kFloat16, kInt32, kInt8 };

constexpr int64_t size_of(DType dtype) {
  switch (dtype) {
    case DType::kInt8: return 1;
    case DType::kBFloat16:
    case DType::kFloat16: return 2;
    default: return 4;
  }
}

constexpr const char* name_of(DType dtype) {
  switch (dtype) {
    case DType::kFloat32: return "float32";
    case DType::kBFloat16: return "bfloat16";
    case DType::kFloat16: return "float16";
    case DType::kInt32: return "int32";
    case DType::kInt8: return "int8";
  }
  return "unknown";
}

}  // namespace foretoken
