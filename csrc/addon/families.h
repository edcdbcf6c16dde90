// The families of exported functions, one source file each.
#pragma once

#include "csrc/addon/call.h"

namespace foretoken {

extern const Exports kDeviceExports;
extern const Exports kTensorExports;
extern const Exports kCaptureExports;
extern const Exports kElementwiseExports;
extern const Exports kLayerExports;
extern const Exports kOptimizerExports;
extern const Exports kLinearExports;
extern const Exports kLinearCrossEntropyExports;
extern const Exports kAttentionExports;
extern const Exports kSamplingExports;
extern const Exports kVerifyTreeExports;

const std::vector<const Exports*>& all_families();

// --- shared by what draws tokens: sampling.cc, verify_tree.cc ---

// Sampling options as arguments, from `index` on: temperature, topK, topP, minP, repetitionPenalty, frequencyPenalty,
// presencePenalty, seed, and what logit_bias reads: biasTokens?, biasValues?.
SamplingOptions sampling_options(const Call& call, size_t index);
LogitBias logit_bias(Call& call, size_t index, int64_t vocab);

// Penalties look at the text before a draw, so it must be there.
void check_history(const Call& call, const SamplingOptions& options, const Tensor* history);

float softcap_argument(const Call& call, size_t index);

// Refuses vocabularies that have no token, or more than int32 can tell apart.
void check_vocab(const Call& call, const Tensor& tensor, const char* name, int64_t vocab);

struct UnembeddingShape {
  int64_t rows, dim, vocab;
};

// hidden [rows, dim], weight [vocab, dim], bias [vocab] or null
UnembeddingShape unembedding_shape(const Call& call, const Tensor& hidden, const Tensor& weight, const Tensor* bias);

}  // namespace foretoken
