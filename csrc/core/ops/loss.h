// The fused unembedding and cross-entropy.
#pragma once

#include <cstdint>

#include "csrc/core/ops/operands.h"

namespace foretoken {

// The loss of a row with target y:
//   z = softcap(h W^T + b), p = softmax(z), lse = log Σ e^z
//   loss = (1-ε)(lse - z_y) + ε(lse - mean z) + ζ lse² + β H(p);   total = Σ weight of the row * loss
struct LossOptions {
  float label_smoothing;  // ε
  float z_loss;           // ζ
  float entropy_weight;   // β
  float softcap;          // softcap(x) = softcap * tanh(x / softcap); 0 for none
  int32_t ignore_index;   // the target of rows without a loss
};

enum class LossMode : uint8_t {
  kLoss,         // loss and statistics: one GEMM per chunk of rows
  kLossAndGrad,  // gradients as well, while the chunk is in the cache: three GEMMs per chunk
  kBackward,     // the same gradients after a separate kLoss: three GEMMs per chunk again
};

// How losses of rows become one number: a row's weight is its coefficient × its head's weight × the factor below.
enum class Reduction : uint8_t {
  kSum,          // 1
  kMean,         // 1 / valid rows of all heads
  kMeanPerHead,  // 1 / valid rows of the row's head
};

struct LinearCrossEntropyArgs {
  LossMode mode;
  Matrix hidden;              // [rows, dim], row-major, any floating dtype
  Matrix weight;              // [vocab, dim], any floating dtype, row-major; for kLoss also packed
  const float* bias;          // [vocab] or null
  const int32_t* targets;     // [rows]; rows with target ignore_index have no loss and are not valid
  const float* coefficients;  // [rows], or null for all ones; known up front, so that no gradient is rescaled later
  int64_t rows, dim, vocab;
  int64_t heads;              // `rows` is `heads` equal runs, one per head
  const float* head_weights;  // [heads], or null for all ones
  Reduction reduction;
  LossOptions options;
  int64_t chunk_rows;  // valid rows per chunk; 0 lets the backend choose
  // Outputs. All except total, head_loss and head_count may be null. Ignored rows get 0, and -1 in argmax and rank.
  float* total;         // [1]: Σ weight of the row * loss
  float* head_loss;     // [heads]: Σ loss over the head's valid rows, without coefficients
  int32_t* head_count;  // [heads]: valid rows
  float* nll;           // [rows]: lse - z_y
  float* lse;           // [rows]; for kBackward an input, the lse of kLoss, which a backend may use or recompute
  float* entropy;       // [rows]: H(p)
  int32_t* argmax;      // [rows]: lowest id on ties
  int32_t* rank;        // [rows]: number of tokens that beat the target (logit greater, or equal with a lower id)
  void* grad_hidden;    // [rows, dim], overwritten
  DType grad_hidden_dtype;
  float* grad_weight;  // [vocab, dim] +=
  float* grad_bias;    // [vocab] +=
  Workspace workspace;
};

}  // namespace foretoken
