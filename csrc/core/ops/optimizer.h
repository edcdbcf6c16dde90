// The optimizer.
#pragma once

#include <cstdint>

#include "csrc/core/ops/operands.h"

namespace foretoken {

// out[0] = sum of squares of in, added in float64 in an order that does not depend on the number of threads
struct SumSquaresArgs {
  const float* in;  // [count]
  float* out;       // [1]
  int64_t count;
  Workspace workspace;
};

// norm[0] = sqrt(Σ sum_squares); coefficient[0] = min(1, max_norm / (norm + 1e-6)), or 1 if max_norm is 0, or NaN if
// norm is not finite
struct ClipCoefficientArgs {
  const float* sum_squares;  // [buckets]
  int64_t buckets;
  float* norm;         // [1]
  float* coefficient;  // [1]
  float max_norm;      // 0 for no clipping
};

// A step of AdamW (Loshchilov & Hutter 2019) on one flat bucket, with the gradient grad_scale * grad. Changes nothing
// if grad_scale is NaN.
struct AdamwArgs {
  float* param;             // [count], updated
  void* rounded;            // [count] or null: the new param in bfloat16, for a forward pass in that type
  const float* grad;        // [count]
  float* m;                 // [count], updated: first moment
  float* v;                 // [count], updated: second moment
  const float* grad_scale;  // [1], or null for 1
  int64_t count;
  // In float64, because 1 - beta2 of a rounded beta2 is wrong in the fifth digit.
  double lr, beta1, beta2, eps, weight_decay;
  double bias_correction1, bias_correction2;  // 1 - beta^step
};

}  // namespace foretoken
