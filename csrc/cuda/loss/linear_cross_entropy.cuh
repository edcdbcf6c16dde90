// Shared by the kernels of the loss: the scratch of a chunk of valid rows, and the state that passes from one chunk to
// the next. linear_cross_entropy.cu describes the order of the kernels.
#pragma once

#include "csrc/core/ops.h"
#include "csrc/cuda/common/exp.cuh"
#include "csrc/cuda/common/numeric.cuh"
#include "csrc/cuda/context.h"
#include "csrc/cuda/linear/gemm_split.cuh"

namespace foretoken::cuda::loss {

// The number of columns of logits that one warp of the product reduces to one Partial for each row.
constexpr int kStripWidth = 64;

// Replaces smaller t: e^t is zero in float32 from here down, and 0 * -inf would be NaN.
constexpr float kFloor = -200.0f;

// The reduction of a strip of a row of logits z, with t = z - reference (see reference_of). Only `largest` and
// `distances` include the target. `weighted` is 0 unless an entropy is wanted, `distances` unless labels are smoothed.
struct alignas(16) Partial {
  float largest;
  float sum;        // Σ e^t
  float weighted;   // Σ (z - largest) e^t: relative to `largest`, so that little cancels in an entropy
  float distances;  // Σ t
};

// dz_j = e^t (slope t + scale) - offset with t = z_j - top, times the slope of the softcap; `own` for the target.
struct RowGradient {
  float top, scale, slope, offset, own;
};

// Exponentials in place of logits and gradients, for losses in which the gradient of a logit is its exponential times a
// factor of its row. The product writes e^(z - reference) in bfloat16; the later products multiply by the row's factor,
// which is float32, so no gradient is written.
//
// All strips of a row have the same reference, the row's base, which is close to the target's logit. The exception is a
// strip whose logits are so far from the base that its exponentials would be too large or too small: those are relative
// to the strip's largest logit until the row is finished, and are rescaled then. The target's gradient is not its
// exponential times the factor, so the target's element is set to its gradient over the factor.
struct Exponentials {
  BFloat16* data;           // [capacity, stride]
  float* bases;             // [capacity]
  BFloat16* scaled_hidden;  // [capacity, hidden_stride]: hidden states times the factors of their rows
  float* factors;           // [capacity]: of rows
};

// The reference of the exponentials of a strip, or of a row, with this largest logit. Without a base (NaN),
// exponentials of a strip are relative to its largest logit.
FORETOKEN_DEVICE float reference_of(float largest, float base) {
  constexpr float kFarAbove = 32, kFarBelow = -40;
  if (largest == -INFINITY) return 0;
  const float distance = largest - base;
  return distance > kFarBelow && distance < kFarAbove ? base : largest;
}

FORETOKEN_DEVICE float base_of(const Exponentials& exponentials, int64_t row) {
  return exponentials.bases ? exponentials.bases[row] : NAN;
}

// cap * tanh(z / cap), for a cap above 0. Unlike softcapped (gumbel.cuh) it leaves rounding to the compiler, which may
// contract the product with what follows.
FORETOKEN_DEVICE float apply_softcap(float z, float softcap) { return tanh(z / softcap) * softcap; }

// The slope of the softcap, given the capped logit.
FORETOKEN_DEVICE float softcap_slope(float logit, float softcap) {
  if (!(softcap > 0)) return 1;
  const float ratio = logit / softcap;
  return 1.0f - ratio * ratio;
}

// The state that passes from chunk to chunk.
struct Progress {
  unsigned long long valid_rows;  // of all heads
  int64_t next_row;               // where the search for the next chunk's rows starts
  int32_t size;                   // rows of this chunk
  int64_t head;                   // the head whose losses are being summed
  double head_loss, total;
};

// The scratch of a chunk, in device memory. Its row i is row rows[i] of the arguments.
struct Chunk {
  int64_t capacity;       // rows
  int64_t hidden_stride;  // elements
  int64_t stride;         // of logits, floats
  int64_t strips;         // of a row of logits
  Slices slices;          // of the vocabulary or of a piece of it, in the product for the gradient of hidden states
  Progress* progress;
  int64_t* rows;              // [capacity]
  int32_t* targets;           // [capacity]
  double* weights;            // [capacity]: the weight of each row's loss in the total
  double* losses;             // [capacity]
  float* own;                 // [capacity]: the logit of the target
  RowGradient* gradients;     // [capacity]
  Partial* partials;          // [capacity, strips]
  int32_t* argmaxes;          // [capacity, strips]: the first column that holds `largest`
  void* hidden;               // [capacity, hidden_stride], in the type of the products
  float* logits;              // [capacity, stride], later their gradient; null if neither is written
  Exponentials exponentials;  // all null if they are not used
  float* grad_hidden;         // [slices, capacity, dim]: parts of sums over the vocabulary; null if not wanted
  int64_t bytes;              // of all these arrays

  Chunk(const LinearCrossEntropyArgs& args, const Context& context);

 private:
  Chunk(const LinearCrossEntropyArgs& args, const Context& context, int64_t capacity);
};

FORETOKEN_HOST_DEVICE bool wants_hidden_gradient(const LinearCrossEntropyArgs& args) {
  return args.mode != LossMode::kLoss && args.grad_hidden;
}

FORETOKEN_HOST_DEVICE bool wants_gradients(const LinearCrossEntropyArgs& args) {
  return args.mode != LossMode::kLoss && (args.grad_hidden || args.grad_weight || args.grad_bias);
}

// The type of the chunk's hidden states and of the gradient of its logits. Tensor cores need both operands in bfloat16;
// any other pair is computed in float32.
FORETOKEN_HOST_DEVICE DType compute_type(const LinearCrossEntropyArgs& args) {
  const bool both = args.hidden.dtype == DType::kBFloat16 && args.weight.dtype == DType::kBFloat16;
  return both ? DType::kBFloat16 : DType::kFloat32;
}

// linear_cross_entropy_rows.cu: counts the valid rows of all heads and writes the results of ignored rows; then finds
// the next chunk of valid rows, packs their hidden states, and finally writes the gradients of these to their rows.
void begin_rows(const LinearCrossEntropyArgs& args, const Chunk& chunk, const Context& context);
void select_rows(const LinearCrossEntropyArgs& args, const Chunk& chunk, const Context& context);
void pack_hidden(const LinearCrossEntropyArgs& args, const Chunk& chunk, const Context& context);
void scatter_hidden(const LinearCrossEntropyArgs& args, const Chunk& chunk, const Context& context);

// linear_cross_entropy_statistics.cu: computes the loss, the statistics and the gradient's factors of each row from its
// partials; then the totals.
void finish_rows(const LinearCrossEntropyArgs& args, const Chunk& chunk, const Context& context);
void add_totals(const LinearCrossEntropyArgs& args, const Chunk& chunk, const Context& context);

// linear_cross_entropy_exponentials.cu: computes the bases of rows before their product; afterwards, from the
// statistics of each row, the factor of its exponentials and the element of its target.
void find_bases(const LinearCrossEntropyArgs& args, const Chunk& chunk, const Context& context);
void finish_exponentials(const LinearCrossEntropyArgs& args, const Chunk& chunk, const Context& context);

// linear_cross_entropy_gradient.cu: overwrites the logits with their gradient, and counts ranks meanwhile; sums the
// gradient of the bias from the gradients of logits or from exponentials.
void write_gradients(const LinearCrossEntropyArgs& args, const Chunk& chunk, const Context& context);
void add_bias_gradient(const LinearCrossEntropyArgs& args, const Chunk& chunk, const Context& context);

}  // namespace foretoken::cuda::loss
