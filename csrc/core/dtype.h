// Element types of tensors, under the names that TypeScript uses.
#pragma once

#include <cstddef>
#include <cstdint>

namespace foretoken {

enum class DType : uint8_t { kFloat32, kBFloat16, kFloat16, kInt32 };

constexpr size_t size_of(DType dtype) { return dtype == DType::kBFloat16 || dtype == DType::kFloat16 ? 2 : 4; }

constexpr const char* name_of(DType dtype) {
  switch (dtype) {
    case DType::kFloat32: return "float32";
    case DType::kBFloat16: return "bfloat16";
    case DType::kFloat16: return "float16";
    case DType::kInt32: return "int32";
  }
  return "unknown";
}

}  // namespace foretoken
