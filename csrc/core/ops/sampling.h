// Draws, proposals of drafts, and the verification of draft trees: csrc/core/sampling.h defines the parameters.
#pragma once

#include <cstdint>

#include "csrc/core/ops/attention.h"
#include "csrc/core/ops/operands.h"

namespace foretoken {

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
// only temperature, seed and logit bias apply. NaN ranks with -inf; both have the weight 0. The columns may be those of
// some tokens only, whose ids key the noise and are what is biased and proposed.
struct ProposeTokensArgs {
  const float* logits;       // [rows, vocab]: `depth` rows of each sequence
  const int32_t* ids;        // [vocab], rising: the token of each column; null if the columns are all tokens in order
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

}  // namespace foretoken
