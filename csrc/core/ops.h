// Every operation of a backend, as the struct of its arguments. The addon checks shapes, dtypes and devices before it
// fills one in. Kernels check the contents of index tensors that only the device knows; they report a bad index through
// ErrorSlot and never read out of bounds.
//
// Conventions: matrices are dense and row-major unless `layout` says otherwise. Comments give shapes in elements and
// say which pointers may be null. "+=" marks outputs that the operation adds to. `workspace` is scratch that the caller
// allocates, of the size that Backend::workspace() returns.
//
// Activations (hidden states, their gradients, keys and values) have the type `dtype` of the struct: float32, or
// bfloat16 if Backend::computes_in() allows it. Sums are float32 or wider for both. Weights of norms, biases,
// statistics and gradients of weights are float32.
#pragma once

#include <cstdint>

#include "csrc/core/dtype.h"

namespace foretoken {

// How a matrix lies in memory. Both packed layouts are private to the backend that packed the matrix:
//   kPanels  for products in the type of the activations; elements keep their type
//   kDot     for products in the matrix's own type, bfloat16 or int8; activations are converted to that type first
enum class Layout : uint8_t { kRowMajor, kPanels, kDot };

// A matrix of any floating type or in a dot format: the weight of a linear layer, an embedding table, hidden states.
struct Matrix {
  const void* data;
  DType dtype;
  Layout layout;
};

struct Workspace {
  void* data = nullptr;  // null if bytes is 0
  int64_t bytes = 0;
};

// --- memory ---

// out[i] = value
struct FillArgs {
  void* out;  // [count]
  int64_t count;
  float value;
  DType dtype;
};

// out = in, device to device; the two ranges do not overlap
struct CopyArgs {
  const void* in;
  void* out;
  int64_t bytes;
};

// out[i] = in[i], converted to another floating dtype and rounded to nearest even
struct CastArgs {
  const void* in;  // [count]
  DType in_dtype;
  void* out;  // [count]
  DType out_dtype;
  int64_t count;
};

// out[0] = microseconds of a monotonic clock, modulo 2^32, when the stream reaches this operation
struct TimestampArgs {
  int32_t* out;  // [1]
};

// --- elementwise ---

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

// out[r, i] = silu(gate_up[r, i]) * gate_up[r, dim + i]
struct SwigluArgs {
  const void* gate_up;  // [rows, 2*dim]
  void* out;            // [rows, dim]
  int64_t rows, dim;
  DType dtype;
};

// The gradient of Swiglu.
struct SwigluBackwardArgs {
  const void* grad_out;  // [rows, dim]
  const void* gate_up;   // [rows, 2*dim]
  void* grad_gate_up;    // [rows, 2*dim]
  int64_t rows, dim;
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

// --- layers ---

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

// Rotates the first `rotated_heads` of `heads` heads of each row by the row's position (rotate-half convention, as in
// Hugging Face's Llama) and copies the other heads. `inverse` rotates back, which is the gradient.
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

// A row of qkv holds `heads` query heads, then `kv_heads` key heads, then `kv_heads` value heads.
struct AttentionShape {
  int64_t heads, kv_heads, head_dim;  // heads is a multiple of kv_heads
  float scale;                        // of the scores
};

// Causal self-attention over packed documents. Position t of a sequence attends to starts[t] … t, where starts[t] is
// the index, within the sequence, of the first token of t's document.
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

// The gradient of Attention; shapes are as in AttentionArgs.
struct AttentionBackwardArgs {
  const void* grad_out;  // as out
  const void* qkv;
  const int32_t* starts;
  const void* out;
  const float* lse;
  void* grad_qkv;  // as qkv
  int64_t batch, length;
  AttentionShape shape;
  DType dtype;
  Workspace workspace;
};

// Positions of a page of the KV cache.
constexpr int64_t kKvPage = 64;

// The KV cache of all layers of one model, in pages of [layers, 2 (keys, values), kv_heads, kKvPage, head_dim]. Slot i
// of a sequence lies in its page i / kKvPage. How keys and values lie within one [kKvPage, head_dim] is private to the
// backend.
struct KvCacheView {
  void* const* pages;       // [sequences, blocks], in device memory; undefined behind the pages of a sequence
  const int32_t* reserved;  // [sequences]: slots that each sequence has, at most kKvPage for each of its pages
  int64_t layers, sequences, kv_heads, blocks, head_dim;
  DType dtype;
};

// The nodes of one draft tree per sequence as rows of a forward pass, one sequence after another: sequence s has rows
// row_offsets[s] … row_offsets[s+1] - 1 and lengths[s] committed positions in the cache. A parent precedes its
// children. Row r's keys and values lie in slot lengths[s] + (r - row_offsets[s]); its position is lengths[s] +
// depth(r). Rows from row_offsets[sequences] on are padding: nothing reads their parents and tokens, no cache gets them.
struct TreeRows {
  const int32_t* row_offsets;  // [sequences + 1]
  const int32_t* lengths;      // [sequences]
  const int32_t* parents;      // [rows]: the row of r's parent, or -1 if that is the last committed position
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

// Attention of each row to its committed prefix, then its ancestors, then itself; the cache already holds all of them.
// Sums run in this order, so they do not depend on the rows beside a row. Padding gets zeros.
struct TreeAttentionArgs {
  const void* qkv;  // [rows, (heads + 2*kv_heads) * head_dim], of the cache's type
  KvCacheView cache;
  int64_t layer;
  TreeRows tree;
  void* out;  // [rows, heads * head_dim], of the cache's type
  AttentionShape shape;
  Workspace workspace;
};

// Moves the keys and values of accepted rows to the slots that plain decoding would have used, in every layer: for i in
// 0 … counts[s] - 1, from slot lengths[s] + (path[s, i] - row_offsets[s]) to slot lengths[s] + i.
struct KvCompactArgs {
  KvCacheView cache;
  const int32_t* row_offsets;  // [sequences + 1]
  const int32_t* lengths;      // [sequences]
  const int32_t* path;         // [sequences, path_stride]: rows of the accepted nodes, ascending, root first
  const int32_t* counts;       // [sequences]: accepted nodes
  int64_t path_stride;
};

// --- loss ---

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

// --- sampling and verification: csrc/core/sampling.h defines the parameters ---

// Indices (and values) of the k largest entries of each row, in descending order; ties go to the lowest index.
struct TopKArgs {
  const float* x;    // [rows, cols]
  int32_t* indices;  // [rows, k]
  float* values;     // [rows, k] or null
  int64_t rows, cols, k;
  Workspace workspace;
};

// tokens[r] = argmax over v of logit(r, v) / temperature + gumbel(seed, positions[r], v), or of logit(r, v) if
// temperature is 0, where logit = softcap(hidden weight^T + bias). Never writes all logits to memory.
struct LinearSampleArgs {
  const void* hidden;        // [rows, dim]
  Matrix weight;             // [vocab, dim], any layout
  const float* bias;         // [vocab] or null
  const int32_t* positions;  // [rows]: position of the drawn token; may be null if temperature is 0
  int32_t* tokens;           // [rows]
  int64_t rows, dim, vocab;
  float softcap;      // 0 for none
  float temperature;  // 0 for greedy
  uint64_t seed;
  DType dtype;  // of hidden
  Workspace workspace;
};

// How to draw a token from a row of logits (csrc/core/sampling.h). The defaults draw the largest logit.
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

// Adds values[i] to the logit of tokens[i].
struct LogitBias {
  const int32_t* tokens;  // [count]; null if count is 0
  const float* values;    // [count]; null if count is 0
  int64_t count;
};

// The sampling options of one sequence in device memory, as words of 32 bits. They may be any bits: options_of
// (csrc/core/sampling.h) reads them.
struct SamplingNumbers {
  float temperature;
  int32_t top_k;
  float top_p, min_p;
  float repetition_penalty, frequency_penalty, presence_penalty;
  uint32_t seed_low, seed_high;
  int32_t bias_count;  // leading entries of the sequence's row of biases
};

// The needs of draws, other than a temperature and a seed.
enum class SamplingNeeds : int32_t {
  kNothing,  // the draw is a running argmax
  kLogits,   // the whole row of logits: for bias, top-k, top-p and min-p
  kHistory,  // the text before the draw as well: for penalties
};

// How the tokens of each sequence are drawn. Options that need more than `needs` are off.
struct SequenceSampling {
  const SamplingNumbers* numbers;  // [sequences]
  const int32_t* bias_tokens;      // [sequences, bias_room]: in a row each token once; null if bias_room is 0
  const float* bias_values;        // [sequences, bias_room]; null if bias_room is 0
  int64_t bias_room;
  SamplingNeeds needs;
};

// tokens[r] = one draw from row r of logits, as in plain decoding
struct SampleLogitsArgs {
  const float* logits;       // [rows, vocab], not modified
  const int32_t* positions;  // [rows]: position of the drawn token
  const int32_t* history;    // [history_length]: prompt and output so far, for every row; null if no penalties apply
  int64_t history_length;
  int64_t prompt_length;  // leading tokens of the history that are prompt
  SamplingOptions options;
  LogitBias bias;
  int32_t* tokens;  // [rows]
  int64_t rows, vocab;
  Workspace workspace;
};

// Proposes drafts that agree with the draws at the same positions: tokens[r] = the k tokens with the largest
// z / T + gumbel(seed, position, token), or z if T is 0, best first, where z is the logit after the logit bias and row i
// of sequence s proposes for position positions[s] + ahead + i;
// weights[r] = their shares of the softmax of these numbers over the whole row. Of the sampling options of a sequence
// only temperature, seed and logit bias apply. NaN ranks with -inf; both have the weight 0.
struct ProposeTokensArgs {
  const float* logits;       // [rows, vocab]: `depth` rows of each sequence
  const int32_t* positions;  // [sequences]
  int64_t ahead;
  SequenceSampling sampling;
  int32_t* tokens;  // [rows, k]
  float* weights;   // [rows, k]
  int64_t rows, depth, vocab, k;
  Workspace workspace;
};

// Scores draft trees with head 1 and walks them: draws a token at the root as plain decoding would; while a child holds
// the drawn token, steps to that child and draws there. Node i draws the token at position lengths + depth(i) + 1.
struct VerifyTreeArgs {
  const void* hidden;              // [rows, dim], after the final norm
  DType dtype;                     // of hidden
  Matrix weight;                   // [vocab, dim], any layout
  const float* bias;               // [vocab] or null
  float softcap;                   // 0 for none
  const int32_t* tokens;           // [rows]: the token that each node holds
  TreeRows tree;                   // row row_offsets[s] is the root of sequence s
  const int32_t* history;          // [sequences, history_stride]: prompt and output up to the root's token; may be null
  const int32_t* history_lengths;  // [sequences]; null if history is
  const int32_t* prompt_lengths;   // [sequences]: leading tokens of the history that are prompt; null if history is
  int64_t history_stride;
  SequenceSampling sampling;
  const uint32_t* mask;  // [rows, mask_words(vocab)]: which tokens each node may draw; null for every token
  bool allows_no_token;  // whether a root from which no token can be drawn commits none, instead of an error
  int32_t* path;         // [sequences, path_stride]: accepted rows, root first, then -1
  int32_t* drawn;        // [sequences, path_stride]: the token drawn at each accepted row, then -1
  int32_t* counts;       // [sequences]: accepted rows, root included: the number of tokens that the step commits
  int64_t dim, vocab, path_stride;
  Workspace workspace;
};

// Fills draft trees with tokens: tokens[r] = roots[s] if depths[r] is 0, otherwise drafts[s, depths[r] - 1, ranks[r]],
// for row r of sequence s; positions[r] = lengths[s] + depths[r].
struct PlantTreeArgs {
  const int32_t* roots;        // [sequences]: token of each root
  const int32_t* drafts;       // [sequences, max_depth, width]: drafts[s, d - 1] are the top-k tokens for depth d
  const int32_t* depths;       // [rows]
  const int32_t* ranks;        // [rows]: which of the top-k tokens of its depth a node holds; not read for roots
  const int32_t* row_offsets;  // [sequences + 1]
  const int32_t* lengths;      // [sequences]
  int32_t* tokens;             // [rows]
  int32_t* positions;          // [rows]
  int64_t rows, sequences, max_depth, width;
};

// Lists what drafting heads read after a step: for each sequence that accepted nodes, first its open positions, oldest
// first, then these nodes, as a chain behind the final positions. A position is open while a head has seen a token that
// follows it only as a draft; it is read again after the next step. A sequence without accepted nodes gets no rows and
// keeps its open positions. Sources are row numbers of [open states of all sequences, most_open each; states of the
// step's rows].
struct AcceptedRowsArgs {
  const int32_t* path;         // [sequences, path_stride]: accepted rows of the step, root first
  const int32_t* counts;       // [sequences]: accepted rows
  const int32_t* drawn;        // [sequences, path_stride]: the token drawn at each accepted row
  const int32_t* lengths;      // [sequences]: committed positions before the step
  const int32_t* open;         // [sequences]: open positions, the last of the committed ones
  const int32_t* open_tokens;  // [sequences, most_open]: the token that follows each open position, oldest first
  int32_t* row_offsets;        // [sequences + 1]
  int32_t* starts;             // [sequences]: final positions, lengths - open
  int32_t* parents;            // [rows]: the row before, or -1 for the first of a sequence and for padding
  int32_t* positions;          // [rows]; 0 for padding
  int32_t* sources;            // [rows]; 0 for padding
  int32_t* following;          // [sequences, most_open + path_stride]: the token after each row of a sequence, then 0
  int32_t* last;               // [sequences]: the last row, or 0 if the sequence has none
  int32_t* next_open;          // [sequences]: open positions after the step
  int32_t* next_open_tokens;   // [sequences, most_open]: the token that follows each of them, then 0
  int32_t* kept;               // [sequences, most_open]: the source of each of them, then the entry's own number
  int64_t rows, sequences, path_stride, most_open;
};

// tokens[r] = what head `head` reads at row j of the n rows of a sequence: the token head - 1 places after it. The last
// known one is following[s, n - 1]; then come the best drafts of the heads before, drafts[s, 0, 0], drafts[s, 1, 0], ….
// 0 for padding.
struct ChainTokensArgs {
  const int32_t* following;    // [sequences, columns]: the token after each row of a sequence
  const int32_t* drafts;       // [sequences, depth, width]; only the first head - 2 of each sequence are read
  const int32_t* row_offsets;  // [sequences + 1]
  int32_t* tokens;             // [rows]
  int64_t rows, sequences, columns, depth, width, head;
};

// --- optimizer ---

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
