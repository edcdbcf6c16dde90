// Element types of tensors, under the names that TypeScript uses.
#pragma once

#include <cstddef>
#include <cstdint>

namespace foretoken {

// int8 is for weights in words alone, in which groups of numbers share a scale: they are larger than their shape says.
enum class DType : uint8_t { kFloat32, kBFloat16, kFloat16, kInt32, kInt8 };

constexpr size_t size_of(DType dtype) {
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
