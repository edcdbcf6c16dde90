#include "csrc/cuda/linear/tensor_map.h"

#include "csrc/cuda/context.h"

#ifndef FORETOKEN_EMULATED  // csrc/simt/tensor_map.cc

namespace foretoken::cuda {

namespace {

using Encode = CUresult (*)(CUtensorMap*, CUtensorMapDataType, cuuint32_t dimensions, void* address,
                            const cuuint64_t* sizes, const cuuint64_t* strides, const cuuint32_t* box,
                            const cuuint32_t* element_strides, CUtensorMapInterleave, CUtensorMapSwizzle,
                            CUtensorMapL2promotion, CUtensorMapFloatOOBfill);

// The driver's function, which this library is not linked to.
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

}  // namespace foretoken::cuda

#endif
