// Products with weights.
#pragma once

#include <cstdint>

#include "csrc/core/ops/operands.h"

namespace foretoken {

// Packs a weight into the layout that the backend's GEMM reads fastest.
struct PackWeightArgs {
  Matrix weight;  // [n, k], row-major
  void* out;      // of Backend::packed_bytes(n, k, dtype, layout) bytes
  int64_t n, k;
  DType dtype;    // of out: for kPanels the type of weight, for kDot bfloat16 or int8
  Layout layout;  // kPanels or kDot
};

// y = x * weight^T + bias. Batch invariant: a row of y depends only on that row of x.
struct LinearArgs {
  const void* x;      // [m, k]
  Matrix weight;      // [n, k], any layout
  const float* bias;  // [n] or null
  void* y;            // [m, n]
  int64_t m, n, k;
  DType dtype;    // of x
  DType y_dtype;  // of y: `dtype` or float32
  Workspace workspace;
};

// grad_x = grad_y * weight
struct LinearBackwardInputArgs {
  const void* grad_y;  // [m, n]
  Matrix weight;       // [n, k], row-major
  void* grad_x;        // [m, k]
  int64_t m, n, k;
  DType dtype;  // of grad_y and grad_x
  Workspace workspace;
};

// grad_weight += grad_y^T * x; grad_bias += column sums of grad_y
struct LinearBackwardWeightArgs {
  const void* grad_y;  // [m, n]
  const void* x;       // [m, k]
  float* grad_weight;  // [n, k] +=
  float* grad_bias;    // [n] += or null
  int64_t m, n, k;
  DType dtype;  // of grad_y and x
  Workspace workspace;
};

}  // namespace foretoken
