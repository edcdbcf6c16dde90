// Products that cuBLAS may compute instead: those that only write a matrix, and whose bits no other result has to
// match.
#pragma once

#include "csrc/cuda/host/cublas.h"
#include "csrc/cuda/linear/gemm_block.cuh"
#include "csrc/cuda/linear/gemm_epilogues.cuh"

namespace foretoken::cuda {

inline CublasOperand for_cublas(const Operand& operand, Major major) {
  return {operand.data, operand.dtype, operand.stride, major == Major::kInner};
}

// Returns false if cuBLAS is missing or has no such product.
template <Form kForm>
bool multiply_with_cublas(const Context& context, const Gemm& gemm, const Store& store) {
  if (store.bias) return false;  // cublasGemmEx adds no bias
  return context.cublas->multiply({gemm.m, gemm.n, gemm.k, for_cublas(gemm.a, major_of_a(kForm)),
                                   for_cublas(gemm.b, major_of_b(kForm)), store.y, store.dtype, store.stride, false},
                                  context.stream, context.op);
}

template <Form kForm>
bool multiply_with_cublas(const Context& context, const Gemm& gemm, const AddTo& add) {
  return context.cublas->multiply({gemm.m, gemm.n, gemm.k, for_cublas(gemm.a, major_of_a(kForm)),
                                   for_cublas(gemm.b, major_of_b(kForm)), add.y, DType::kFloat32, add.stride, true},
                                  context.stream, context.op);
}

}  // namespace foretoken::cuda
