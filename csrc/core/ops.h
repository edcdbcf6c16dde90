// Every operation of a backend, as the struct of its arguments. The addon has checked shapes, dtypes and
// devices before one of these is made; contents of index tensors that only the device can see are checked by
// the kernels, which report through ErrorSlot and never read out of bounds.
//
// Conventions: matrices are dense and row-major unless `layout` says otherwise; counts are int64_t; pointers
// that may be null say so; "+=" marks outputs that are accumulated into. `workspace` is scratch that the
// caller allocated, of the size that Backend::workspace() asked for.
//
// Activations (hidden states, their gradients, keys and values) are of the type `dtype` of the struct, float32 or
// bfloat16, as far as Backend::computes_in() allows. Sums are float32 or wider whatever that type. Weights of norms,
// biases, statistics and the gradients of weights are float32.
#pragma once

#include <cstdint>

#include "csrc/core/dtype.h"

namespace foretoken {

// How a matrix lies in memory. Panels are the packed form of a backend's own GEMM, for products in float32. Words are
// the form for products in the matrix's own type, bfloat16 or int8, to which rows are brought that meet it.
enum class Layout : uint8_t { kRowMajor, kPanels, kWords };

// A matrix of any storage type: the weight of a linear layer, an embedding table, hidden states.
struct Matrix {
  const void* data;
  DType dtype;
  Layout layout;
};

struct Workspace {
  void* data = nullptr;
  int64_t bytes = 0;
};

// --- memory ---

// out[i] = value
struct FillArgs {
  void* out;
  int64_t count;
  float value;
  DType dtype;
};

// out = in, device to device; the ranges do not overlap
struct CopyArgs {
  const void* in;
  void* out;
  int64_t bytes;
};

// out[i] = in[i] in another floating dtype (round to nearest even)
struct CastArgs {
  const void* in;
  DType in_dtype;
  void* out;
  DType out_dtype;
  int64_t count;
};

// out[0] = microseconds of a monotonic clock, modulo 2^32, at this point of the stream
struct TimestampArgs {
  int32_t* out;
};

// --- elementwise ---

// out = a + b
struct AddArgs {
  const void* a;
  const void* b;
  void* out;
  int64_t count;
  DType dtype;
};

// out += scale * in, times *factor when there is one: a scalar that only the device knows
struct AccumulateArgs {
  const void* in;
  void* out;
  int64_t count;
  float scale;
  const float* factor;  // [1] or null
  DType in_dtype, out_dtype;
};

// out = scale * in, times *factor when there is one
struct ScaleArgs {
  const void* in;
  void* out;
  int64_t count;
  float scale;
  const float* factor;  // [1] or null
  DType dtype;
};

// out = x * sigmoid(x)
struct SiluArgs {
  const void* x;
  void* out;
  int64_t count;
  DType dtype;
};

struct SiluBackwardArgs {
  const void* grad_out;
  const void* x;
  void* grad_x;
  int64_t count;
  DType dtype;
};

// gate_up [rows, 2*dim]: out[r, i] = silu(gate_up[r, i]) * gate_up[r, dim + i]
struct SwigluArgs {
  const void* gate_up;
  void* out;  // [rows, dim]
  int64_t rows, dim;
  DType dtype;
};

struct SwigluBackwardArgs {
  const void* grad_out;  // [rows, dim]
  const void* gate_up;   // [rows, 2*dim]
  void* grad_gate_up;    // [rows, 2*dim]
  int64_t rows, dim;
  DType dtype;
};

// out[r] = [a[r] ; b[r]]
struct ConcatArgs {
  const void* a;  // [rows, dim_a]
  const void* b;  // [rows, dim_b]
  void* out;      // [rows, dim_a + dim_b]
  int64_t rows, dim_a, dim_b;
  DType dtype;
};

// out[r] = in[r, start : start + dim]; the gradient of concat
struct SliceColumnsArgs {
  const void* in;  // [rows, stride]
  void* out;       // [rows, dim]
  int64_t rows, stride, start, dim;
  DType dtype;
};

// --- layers ---

// out[r] = weight[tokens[r]]
struct EmbeddingArgs {
  const int32_t* tokens;  // [rows]
  Matrix weight;          // [vocab, dim], row-major or words
  void* out;              // [rows, dim]
  int64_t rows, vocab, dim;
  DType dtype;  // of out
};

// grad_weight[tokens[r]] += grad_out[r], summed in row order whatever the number of threads
struct EmbeddingBackwardArgs {
  const int32_t* tokens;  // [rows]
  const void* grad_out;   // [rows, dim]
  float* grad_weight;     // [vocab, dim] +=
  int64_t rows, vocab, dim;
  DType dtype;  // of grad_out
  Workspace workspace;
};

// A weight packed for LinearArgs, laid out as the backend's GEMM reads it.
struct PackWeightArgs {
  Matrix weight;  // [n, k], row-major
  void* out;      // Backend::packed_bytes(n, k, dtype, layout)
  int64_t n, k;
  DType dtype;  // of out: in panels that of weight, in words bfloat16 or int8
  Layout layout;
};

// y[m, n] = x[m, k] * weight[n, k]^T + bias[n]. Batch invariant: a row of y depends on that row of x alone.
struct LinearArgs {
  const void* x;
  Matrix weight;      // row-major or packed
  const float* bias;  // [n] or null
  void* y;
  int64_t m, n, k;
  DType dtype, y_dtype;  // of x; of y: the same or float32
  Workspace workspace;
};

// grad_x[m, k] = grad_y[m, n] * weight[n, k]
struct LinearBackwardInputArgs {
  const void* grad_y;
  Matrix weight;  // row-major
  void* grad_x;
  int64_t m, n, k;
  DType dtype;
  Workspace workspace;
};

// grad_weight[n, k] += grad_y[m, n]^T * x[m, k]; grad_bias[n] += column sums of grad_y
struct LinearBackwardWeightArgs {
  const void* grad_y;
  const void* x;
  float* grad_weight;  // +=
  float* grad_bias;    // += or null
  int64_t m, n, k;
  DType dtype;  // of grad_y and x
  Workspace workspace;
};

// y = s / sqrt(mean(s^2) + eps) * weight, where s = x, or with a residual s = x + residual, rounded to dtype as it is
// written to `sum`
struct RmsNormArgs {
  const void* x;         // [rows, dim]
  const void* residual;  // [rows, dim] or null
  void* sum;             // [rows, dim] or null, as `residual`
  const float* weight;   // [dim]
  void* y;               // [rows, dim]
  float* rstd;           // [rows], kept for the gradient
  int64_t rows, dim;
  float eps;
  DType dtype;
};

// The gradient of what was normed: x, or the sum.
struct RmsNormBackwardArgs {
  const void* grad_y;
  const void* x;
  const float* weight;
  const float* rstd;
  void* grad_x;
  float* grad_weight;  // [dim] += or null
  int64_t rows, dim;
  DType dtype;
  Workspace workspace;
};

// Rotates the first `rotated_heads` of `heads` heads of each row by its position (rotate-half convention, as
// Hugging Face's Llama); the other heads are copied. `inverse` rotates back: the gradient.
struct RopeArgs {
  const void* x;             // [rows, heads, head_dim]
  void* y;                   // [rows, heads, head_dim]
  const int32_t* positions;  // [rows]
  const float* table;        // [max_positions, head_dim]: head_dim/2 cosines, then head_dim/2 sines
  int64_t rows, heads, rotated_heads, head_dim, max_positions;
  bool inverse;
  DType dtype;
};

// --- attention ---

// Rows of qkv hold heads query heads, kv_heads key heads, kv_heads value heads, in this order.
struct AttentionShape {
  int64_t heads, kv_heads, head_dim;
  float scale;
};

// Causal self-attention over packed rows. Row t of a sequence attends to starts[t] … t, where starts gives the
// index, within its own sequence, of the first token of the document that the row belongs to.
struct AttentionArgs {
  const void* qkv;        // [batch * length, (heads + 2*kv_heads) * head_dim]
  const int32_t* starts;  // [batch * length], 0 ≤ starts[t] ≤ t
  void* out;              // [batch * length, heads * head_dim]
  float* lse;             // [batch * length, heads]: log of the softmax denominator, kept for the gradient
  int64_t batch, length;
  AttentionShape shape;
  DType dtype;
  Workspace workspace;
};

struct AttentionBackwardArgs {
  const void* grad_out;
  const void* qkv;
  const int32_t* starts;
  const void* out;
  const float* lse;
  void* grad_qkv;
  int64_t batch, length;
  AttentionShape shape;
  DType dtype;
  Workspace workspace;
};

// The KV cache of all layers of one model for `sequences` sequences:
//   [layers, 2 (keys, values), sequences, kv_heads, capacity, head_dim].
struct KvCacheView {
  void* data;
  int64_t layers, sequences, kv_heads, capacity, head_dim;
  DType dtype;
};

// The rows of one tree forward, sequences one after another: sequence s has rows row_offsets[s] …
// row_offsets[s+1] - 1, and lengths[s] committed positions in the cache. parents[r] is the row of r's parent,
// or -1 where the parent is the last committed position. A parent stands before its children. Row r's keys and
// values lie at slot lengths[s] + (r - row_offsets[s]); its position is lengths[s] + depth(r).
struct TreeRows {
  const int32_t* row_offsets;  // [sequences + 1]
  const int32_t* lengths;      // [sequences]
  const int32_t* parents;      // [rows]
  int64_t rows, sequences;
};

// Writes the keys and values of each row into its slot of one layer of the cache.
struct KvAppendArgs {
  const void* qkv;  // [rows, (heads + 2*kv_heads) * head_dim], of the cache's type
  int64_t heads;
  KvCacheView cache;
  int64_t layer;
  TreeRows tree;
};

// Attention of each row to its committed prefix and its own ancestors (itself last), all already in the cache,
// reduced in logical order: the sums of a row do not depend on which other rows stand beside it.
struct TreeAttentionArgs {
  const void* qkv;  // of the cache's type, as `out`
  KvCacheView cache;
  int64_t layer;
  TreeRows tree;
  void* out;  // [rows, heads * head_dim]
  AttentionShape shape;
  Workspace workspace;
};

// Moves the accepted rows' slots to where plain decoding would have put them, in every layer: for i in
// 0 … counts[s] - 1, slot lengths[s] + (path[s, i] - row_offsets[s]) goes to slot lengths[s] + i. Path entries rise.
struct KvCompactArgs {
  KvCacheView cache;
  const int32_t* row_offsets;  // [sequences + 1]
  const int32_t* lengths;      // [sequences]
  const int32_t* path;         // [sequences, path_stride]: rows of the accepted nodes, root first
  const int32_t* counts;       // [sequences]
  int64_t path_stride;
};

// --- loss ---

// What each row of the loss costs (see linear_cross_entropy in the docs):
//   z = softcap(h W^T + b), p = softmax(z), lse = log sum exp z
//   loss = (1-ε)(lse - z_y) + ε(lse - mean z) + ζ lse² + β H(p);   total = Σ weight of the row * loss
struct LossOptions {
  float label_smoothing;  // ε
  float z_loss;           // ζ
  float entropy_weight;   // β
  float softcap;          // z = softcap * tanh(raw / softcap); 0 = none
  int32_t ignore_index;
};

enum class LossMode : uint8_t {
  kLoss,         // loss and statistics only: one GEMM
  kLossAndGrad,  // gradients while the chunk is hot: three GEMMs
  kBackward,     // the gradients of kLossAndGrad after a kLoss that knew of none; three GEMMs again
};

// How rows become one number; a row's weight is its coefficient × its head's weight × what stands here.
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
  const int32_t* targets;     // [rows]; ignore_index rows cost nothing
  const float* coefficients;  // [rows] or null for all ones; given up front, so that nothing is rescaled later
  int64_t rows, dim, vocab;
  int64_t heads;              // rows are `heads` equal runs of rows/heads, one run a head
  const float* head_weights;  // [heads] or null for all ones
  Reduction reduction;
  LossOptions options;
  int64_t chunk_rows;  // valid rows at a time
  // Outputs; all but total, head_loss and head_count may be null. Ignored rows get 0 (argmax, rank: -1).
  float* total;         // [1]: Σ weight of the row * loss
  float* head_loss;     // [heads]: Σ loss over the head's valid rows, without coefficients
  int32_t* head_count;  // [heads]: valid rows
  float* nll;           // [rows]: lse - z_y
  float* lse;           // [rows]; of kBackward the input that kLoss gave, which a backend may use or compute again
  float* entropy;       // [rows]: H(p)
  int32_t* argmax;      // [rows]: lowest id on ties
  int32_t* rank;        // [rows]: how many tokens beat the target (logit greater, or equal with a lower id)
  void* grad_hidden;    // [rows, dim], overwritten
  DType grad_hidden_dtype;
  float* grad_weight;  // [vocab, dim] +=
  float* grad_bias;    // [vocab] +=
  Workspace workspace;
};

// --- sampling and verification: see csrc/core/sampling.h for the parameters ---

// Indices (and values) of the k largest entries of each row, falling; ties to the lowest index.
struct TopKArgs {
  const float* x;    // [rows, cols]
  int32_t* indices;  // [rows, k]
  float* values;     // [rows, k] or null
  int64_t rows, cols, k;
  Workspace workspace;
};

// tokens[r] = argmax over v of logit(r, v) / temperature + gumbel(seed, positions[r], v), and of the logit alone
// when temperature is 0; logit = softcap(hidden weight^T + bias). Logits are never written.
struct LinearSampleArgs {
  const void* hidden;        // [rows, dim]
  Matrix weight;             // [vocab, dim], row-major or packed
  const float* bias;         // [vocab] or null
  const int32_t* positions;  // [rows]: position of the drawn token; may be null when temperature is 0
  int32_t* tokens;           // [rows]
  int64_t rows, dim, vocab;
  float softcap;
  float temperature;
  uint64_t seed;
  DType dtype;  // of hidden
  Workspace workspace;
};

// How a token is drawn from a row of logits, in this order: bias, penalties, temperature, top-k, top-p, min-p,
// then the Gumbel argmax of what is left (csrc/core/sampling.h). Defaults switch everything off.
struct SamplingOptions {
  float temperature = 0;         // 0 = greedy
  int32_t top_k = 0;             // 0 = off
  float top_p = 1;               // 1 = off
  float min_p = 0;               // 0 = off
  float repetition_penalty = 1;  // over prompt and output; 1 = off
  float frequency_penalty = 0;   // over output
  float presence_penalty = 0;    // over output
  uint64_t seed = 0;
};

// Added to the logits of these tokens.
struct LogitBias {
  const int32_t* tokens;  // [count] or null
  const float* values;    // [count]
  int64_t count;
};

// tokens[r] = one draw from each row of logits, as plain decoding makes it.
struct SampleLogitsArgs {
  const float* logits;       // [rows, vocab], not modified
  const int32_t* positions;  // [rows]: position of the drawn token
  const int32_t* history;    // [history_length]: prompt and output so far, the same for every row; may be null
  int64_t history_length;
  int64_t prompt_length;  // how much of the history is prompt
  SamplingOptions options;
  LogitBias bias;
  int32_t* tokens;  // [rows]
  int64_t rows, vocab;
  Workspace workspace;
};

// Scores a draft tree with head 1 and follows it: at the root draw a token as plain decoding would; while a child
// holds that token, step to it and draw there. The row of node i draws the token at position lengths + depth(i) + 1.
struct VerifyTreeArgs {
  const void* hidden;  // [rows, dim], after the final norm
  DType dtype;         // of hidden
  Matrix weight;       // [vocab, dim], row-major or packed
  const float* bias;   // [vocab] or null
  float softcap;
  const int32_t* tokens;  // [rows]: the token each node holds; row row_offsets[s] is the root of sequence s
  TreeRows tree;
  const int32_t* history;  // [sequences, history_stride]: prompt and output, root's token last; null without penalties
  const int32_t* history_lengths;  // [sequences]
  const int32_t* prompt_lengths;   // [sequences]
  int64_t history_stride;
  SamplingOptions options;
  LogitBias logit_bias;
  int32_t* path;    // [sequences, path_stride]: accepted rows, root first; the rest is -1
  int32_t* drawn;   // [sequences, path_stride]: the token drawn at each accepted row; the rest is -1
  int32_t* counts;  // [sequences]: accepted rows, root included = tokens committed by this step
  int64_t dim, vocab, path_stride;
  Workspace workspace;
};

// Fills a tree with drafted tokens: tokens[r] = root token for a root, else drafts[depth(r)-1, ranks[r]]; and with
// their positions, lengths + depth.
struct PlantTreeArgs {
  const int32_t* roots;        // [sequences]
  const int32_t* drafts;       // [sequences, max_depth, width]: top-k tokens of head depth+1
  const int32_t* depths;       // [rows]
  const int32_t* ranks;        // [rows]
  const int32_t* row_offsets;  // [sequences + 1]
  const int32_t* lengths;      // [sequences]
  int32_t* tokens;             // [rows]
  int32_t* positions;          // [rows]
  int64_t rows, sequences, max_depth, width;
};

// --- optimizer ---

// out[0] = sum of squares of in, accumulated in float64 in an order that does not depend on the threads
struct SumSquaresArgs {
  const float* in;
  float* out;
  int64_t count;
  Workspace workspace;
};

// norm[0] = sqrt(Σ sum_squares); coefficient[0] = min(1, max_norm / (norm + 1e-6)); max_norm 0: 1; norm not finite: NaN
struct ClipCoefficientArgs {
  const float* sum_squares;  // [buckets]
  int64_t buckets;
  float* norm;
  float* coefficient;
  float max_norm;
};

// AdamW (Loshchilov & Hutter 2019) on one flat bucket; grad is multiplied by *grad_scale first, of which NaN skips it.
struct AdamwArgs {
  float* param;
  void* rounded;  // [count] or null: the new param in bfloat16, for a forward pass that computes in it
  const float* grad;
  float* m;
  float* v;
  const float* grad_scale;  // [1] or null
  int64_t count;
  // In float64, because 1 - beta2 of a rounded beta2 is wrong in the fifth digit.
  double lr, beta1, beta2, eps, weight_decay;
  double bias_correction1, bias_correction2;  // 1 - beta^step
};

}  // namespace foretoken
