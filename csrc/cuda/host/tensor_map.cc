// Encodes tensor maps: by the driver, or for the emulator.
#include "csrc/cuda/linear/tensor_map.h"

#include "csrc/cuda/context.h"

namespace foretoken::cuda {

#ifdef FORETOKEN_EMULATED

TensorMap encode_tensor_map(const TensorShape& shape) {
  constexpr uint32_t kElementBytes[] = {2, 2, 4}, kSwizzleBytes[] = {0, 32, 64, 128};
  const TensorMap map = {.mark = TensorMap::kMark,
                         .address = static_cast<unsigned char*>(shape.address),
                         .columns = shape.columns,
                         .rows = shape.rows,
                         .row_bytes = shape.row_bytes,
                         .element_bytes = kElementBytes[static_cast<int>(shape.element)],
                         .is_float32 = shape.element == TensorElement::kFloat32,
                         .box_columns = shape.box_columns,
                         .box_rows = shape.box_rows,
                         .swizzle_bytes = kSwizzleBytes[static_cast<int>(shape.swizzle)],
                         .unused = {}};
  if (!map.is_valid()) throw CudaFailure(cudaErrorInvalidValue, "cuTensorMapEncodeTiled");
  return map;
}

#else

namespace {

using Encode = CUresult (*)(CUtensorMap*, CUtensorMapDataType, cuuint32_t dimensions, void* address,
                            const cuuint64_t* sizes, const cuuint64_t* strides, const cuuint32_t* box,
                            const cuuint32_t* element_strides, CUtensorMapInterleave, CUtensorMapSwizzle,
                            CUtensorMapL2promotion, CUtensorMapFloatOOBfill);

// Asks the runtime for the driver's function: this library does not link to the driver.
Encode find_encode() {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found;
  check(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &found),
        "cudaGetDriverEntryPointByVersion");
  if (found != cudaDriverEntryPointSuccess) throw CudaFailure(cudaErrorNotSupported, "cuTensorMapEncodeTiled");
  return reinterpret_cast<Encode>(function);
}

CUtensorMapDataType type_of(TensorElement element) {
  switch (element) {
    case TensorElement::kBFloat16: return CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
    case TensorElement::kFloat16: return CU_TENSOR_MAP_DATA_TYPE_FLOAT16;
    case TensorElement::kFloat32: break;
  }
  return CU_TENSOR_MAP_DATA_TYPE_FLOAT32;
}

CUtensorMapSwizzle swizzle_of(Swizzle swizzle) {
  switch (swizzle) {
    case Swizzle::k32Bytes: return CU_TENSOR_MAP_SWIZZLE_32B;
    case Swizzle::k64Bytes: return CU_TENSOR_MAP_SWIZZLE_64B;
    case Swizzle::k128Bytes: return CU_TENSOR_MAP_SWIZZLE_128B;
    case Swizzle::kNone: break;
  }
  return CU_TENSOR_MAP_SWIZZLE_NONE;
}

}  // namespace

TensorMap encode_tensor_map(const TensorShape& shape) {
  static const Encode encode = find_encode();
  const cuuint64_t sizes[] = {shape.columns, shape.rows}, strides[] = {shape.row_bytes};
  const cuuint32_t box[] = {shape.box_columns, shape.box_rows}, element_strides[] = {1, 1};
  TensorMap map;
  const CUresult result = encode(&map, type_of(shape.element), 2, shape.address, sizes, strides, box, element_strides,
                                 CU_TENSOR_MAP_INTERLEAVE_NONE, swizzle_of(shape.swizzle),
                                 CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (result != CUDA_SUCCESS) throw CudaFailure(cudaErrorInvalidValue, "cuTensorMapEncodeTiled");
  return map;
}

#endif

}  // namespace foretoken::cuda
