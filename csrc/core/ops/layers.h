// Operations of layers: elementwise ones, embeddings, norms and rotary positions.
#pragma once

#include <cstdint>

#include "csrc/core/ops/operands.h"

namespace foretoken {

// out = a + b
struct AddArgs {
  const void* a;  // [count]
  const void* b;  // [count]
  void* out;      // [count]
  int64_t count;
  DType dtype;
};

// out += scale * factor * in
struct AccumulateArgs {
  const void* in;  // [count]
  void* out;       // [count] +=
  int64_t count;
  float scale;
  const float* factor;  // [1], a factor that only the device knows; null for 1
  DType in_dtype, out_dtype;
};

// out = scale * factor * in
struct ScaleArgs {
  const void* in;  // [count]
  void* out;       // [count]
  int64_t count;
  float scale;
  const float* factor;  // [1], a factor that only the device knows; null for 1
  DType dtype;
};

// out = x * sigmoid(x)
struct SiluArgs {
  const void* x;  // [count]
  void* out;      // [count]
  int64_t count;
  DType dtype;
};

// grad_x = grad_out * d silu(x) / dx
struct SiluBackwardArgs {
  const void* grad_out;  // [count]
  const void* x;         // [count]
  void* grad_x;          // [count]
  int64_t count;
  DType dtype;
};

// out = x * sigmoid(gate)
struct SigmoidGateArgs {
  const void* x;     // [count]
  const void* gate;  // [count]
  void* out;         // [count]
  int64_t count;
  DType dtype;
};

// The activations f of gated linear units:
//   kSilu      x sigmoid(x)
//   kGeluTanh  x (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2, an approximation of GELU
enum class GluActivation : uint8_t { kSilu, kGeluTanh };

// out[r, i] = f(gate_up[r, i]) * gate_up[r, dim + i]
struct GluArgs {
  const void* gate_up;  // [rows, 2*dim]
  void* out;            // [rows, dim]
  int64_t rows, dim;
  GluActivation activation;
  DType dtype;
};

// The gradient of Glu.
struct GluBackwardArgs {
  const void* grad_out;  // [rows, dim]
  const void* gate_up;   // [rows, 2*dim]
  void* grad_gate_up;    // [rows, 2*dim]
  int64_t rows, dim;
  GluActivation activation;
  DType dtype;
};

// out[r] = a[r] followed by b[r]
struct ConcatArgs {
  const void* a;  // [rows, dim_a]
  const void* b;  // [rows, dim_b]
  void* out;      // [rows, dim_a + dim_b]
  int64_t rows, dim_a, dim_b;
  DType dtype;
};

// out[r, i] = in[r, start + i]; also the gradient of Concat
struct SliceColumnsArgs {
  const void* in;  // [rows, stride]
  void* out;       // [rows, dim]
  int64_t rows, stride, start, dim;
  DType dtype;
};

// out[r] = weight[tokens[r]]
struct EmbeddingArgs {
  const int32_t* tokens;  // [rows]
  Matrix weight;          // [vocab, dim], row-major or in a dot format
  void* out;              // [rows, dim]
  int64_t rows, vocab, dim;
  DType dtype;  // of out
};

// grad_weight[tokens[r]] += grad_out[r], added in row order whatever the number of threads
struct EmbeddingBackwardArgs {
  const int32_t* tokens;  // [rows]
  const void* grad_out;   // [rows, dim]
  float* grad_weight;     // [vocab, dim] +=
  int64_t rows, vocab, dim;
  DType dtype;  // of grad_out
  Workspace workspace;
};

// y = s / sqrt(mean(s^2) + eps) * weight, where s = x without a residual, and otherwise s = x + residual, rounded to
// `dtype` and written to `sum`
struct RmsNormArgs {
  const void* x;         // [rows, dim]
  const void* residual;  // [rows, dim] or null
  void* sum;             // [rows, dim]; null if `residual` is null
  const float* weight;   // [dim]
  void* y;               // [rows, dim]
  float* rstd;           // [rows]: 1 / sqrt(mean(s^2) + eps), kept for the gradient
  int64_t rows, dim;
  float eps;
  DType dtype;
};

// The gradient of RmsNorm with respect to s and weight.
struct RmsNormBackwardArgs {
  const void* grad_y;   // [rows, dim]
  const void* x;        // [rows, dim]: s
  const float* weight;  // [dim]
  const float* rstd;    // [rows]
  void* grad_x;         // [rows, dim]: the gradient of s
  float* grad_weight;   // [dim] += or null
  int64_t rows, dim;
  DType dtype;
  Workspace workspace;
};

// y = x / sqrt(mean(x^2) + eps) * weight * silu(gate)
struct GatedRmsNormArgs {
  const void* x;        // [rows, dim]
  const void* gate;     // [rows, dim]
  const float* weight;  // [dim]
  void* y;              // [rows, dim]
  int64_t rows, dim;
  float eps;
  DType dtype;
};

// Rotates the first `rotated_dim` dimensions of the first `rotated_heads` of `heads` heads of each row by the row's
// position (rotate-half convention, as in Hugging Face's Llama) and copies everything else. `inverse` rotates back,
// which is the gradient.
struct RopeArgs {
  const void* x;             // [rows, heads, head_dim]
  void* y;                   // [rows, heads, head_dim]
  const int32_t* positions;  // [rows]
  const float* table;        // [max_positions, rotated_dim]: rotated_dim/2 cosines, then rotated_dim/2 sines
  int64_t rows, heads, rotated_heads, head_dim, rotated_dim, max_positions;
  bool inverse;
  DType dtype;
};

}  // namespace foretoken
