// What the kernels of the loss have in common: the valid rows at hand, the scratch of their chunk, and what is kept
// from one chunk to the next. linear_cross_entropy.cu tells how they play together.
#pragma once

#include "csrc/core/ops.h"
#include "csrc/cuda/common/numeric.cuh"
#include "csrc/cuda/context.h"
#include "csrc/cuda/linear/gemm_split.cuh"

namespace foretoken::cuda::loss {

// Columns of logits that one warp of the product holds and reduces to one Partial for each row.
constexpr int kStripWidth = 64;

// Below it e^t is zero in float32; it keeps 0 * -inf from being NaN.
constexpr float kFloor = -200.0f;

// A strip of a row of logits z, with t = z - reference (see reference_of). The target is in `largest` and `distances`
// only. `weighted` is there where an entropy is wanted, and `distances` for label smoothing.
struct alignas(16) Partial {
  float largest;
  float sum;        // Σ e^t
  float weighted;   // Σ (z - largest) e^t: what cancels in an entropy is small then
  float distances;  // Σ t
};

// dz_j = e^t (slope t + scale) - offset with t = z_j - top, times what softcap lets through; of the target: own.
struct RowGradient {
  float top, scale, slope, offset, own;
};

// Where the gradient of a logit is its exponential times a factor of its row, no gradient is written: the product
// leaves e^(z - reference) in bfloat16, and what is left is the row's factor, in float32. All strips of a row have the
// same reference, its base, which is about the target's logit, unless theirs are so far away from it that exponentials
// would be too large or too small; those of such a strip are relative to its largest logit until the row is finished,
// and are multiplied then. Only the target's gradient is another, and is put in its place such that all this makes it
// right.
struct Exponentials {
  BFloat16* data;           // [capacity, stride]
  float* bases;             // [capacity]
  BFloat16* scaled_hidden;  // [capacity, hidden_stride]: times the row's factor
  float* factors;           // [capacity]: of rows
};

// What the exponentials of a strip with this largest logit, or of a row, are relative to. Without a base (NaN) each
// strip's are relative to its largest one.
FORETOKEN_DEVICE float reference_of(float largest, float base) {
  constexpr float kFarAbove = 32, kFarBelow = -40;
  if (largest == -INFINITY) return 0;
  const float distance = largest - base;
  return distance > kFarBelow && distance < kFarAbove ? base : largest;
}

FORETOKEN_DEVICE float base_of(const Exponentials& exponentials, int64_t row) {
  return exponentials.bases ? exponentials.bases[row] : NAN;
}

// The share of a gradient that softcap lets through to the product, at a logit that it has capped.
FORETOKEN_DEVICE float through_softcap(float logit, float softcap) {
  if (!(softcap > 0)) return 1;
  const float ratio = logit / softcap;
  return 1.0f - ratio * ratio;
}

// What goes on from chunk to chunk.
struct Progress {
  unsigned long long valid_rows;  // of all heads
  int64_t next_row;               // where the rows of the next chunk are looked for
  int32_t size;                   // rows of this chunk
  int64_t head;                   // whose losses are being summed
  double head_loss, total;
};

// The scratch of a chunk, in device memory. Row i of it is row rows[i] of the arguments.
struct Chunk {
  int64_t capacity;       // rows
  int64_t hidden_stride;  // elements
  int64_t stride;         // of logits, floats
  int64_t strips;         // of a row of logits
  Slices slices;          // of the vocabulary, or of a piece of it, in the product for the gradient of hidden states
  Progress* progress;
  int64_t* rows;              // [capacity]
  int32_t* targets;           // [capacity]
  double* weights;            // [capacity]: what each row's loss counts in the total
  double* losses;             // [capacity]
  float* own;                 // [capacity]: the logit of the target
  RowGradient* gradients;     // [capacity]
  Partial* partials;          // [capacity, strips]
  int32_t* argmaxes;          // [capacity, strips]: the first column that holds `largest`
  void* hidden;               // [capacity, hidden_stride], of the type that the products are computed in
  float* logits;              // [capacity, stride], later their gradient; null where it is not wanted or not written
  Exponentials exponentials;  // all null where they are not kept
  float* grad_hidden;         // [slices, capacity, dim]: parts of sums over the vocabulary; null where not wanted
  int64_t bytes;              // of all this

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

// The type of the chunk's hidden states and of the gradient of its logits. Tensor cores need both factors in bfloat16;
// everything else is computed in float32.
FORETOKEN_HOST_DEVICE DType compute_type(const LinearCrossEntropyArgs& args) {
  const bool both = args.hidden.dtype == DType::kBFloat16 && args.weight.dtype == DType::kBFloat16;
  return both ? DType::kBFloat16 : DType::kFloat32;
}

// linear_cross_entropy_rows.cu: counts the valid rows of all heads and writes what ignored ones get; then finds the
// next chunk of valid rows, packs their hidden states, and in the end brings the gradients of these to their rows.
void begin_rows(const LinearCrossEntropyArgs& args, const Chunk& chunk, const Context& context);
void select_rows(const LinearCrossEntropyArgs& args, const Chunk& chunk, const Context& context);
void pack_hidden(const LinearCrossEntropyArgs& args, const Chunk& chunk, const Context& context);
void scatter_hidden(const LinearCrossEntropyArgs& args, const Chunk& chunk, const Context& context);

// linear_cross_entropy_statistics.cu: from the partials of each row its loss, its statistics and the factors of its
// gradient; then the totals.
void finish_rows(const LinearCrossEntropyArgs& args, const Chunk& chunk, const Context& context);
void add_totals(const LinearCrossEntropyArgs& args, const Chunk& chunk, const Context& context);

// linear_cross_entropy_exponentials.cu: the bases of rows, before their product; and from the statistics of each row
// the factor of its exponentials, and its target's gradient.
void find_bases(const LinearCrossEntropyArgs& args, const Chunk& chunk, const Context& context);
void finish_exponentials(const LinearCrossEntropyArgs& args, const Chunk& chunk, const Context& context);

// linear_cross_entropy_gradient.cu: the gradient of the logits in their place, counting ranks on the way; and, of these
// or of exponentials, the gradient of the bias.
void write_gradients(const LinearCrossEntropyArgs& args, const Chunk& chunk, const Context& context);
void add_bias_gradient(const LinearCrossEntropyArgs& args, const Chunk& chunk, const Context& context);

}  // namespace foretoken::cuda::loss
