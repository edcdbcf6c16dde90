// The families of exported functions, one source file each.
#pragma once

#include "csrc/addon/call.h"

namespace foretoken {

extern const Exports kDeviceExports;
extern const Exports kTensorExports;
extern const Exports kElementwiseExports;
extern const Exports kLayerExports;
extern const Exports kOptimizerExports;
extern const Exports kLinearExports;
extern const Exports kLinearCrossEntropyExports;
extern const Exports kAttentionExports;
extern const Exports kSamplingExports;
extern const Exports kVerifyTreeExports;

const std::vector<const Exports*>& all_families();

// What sampling options look like as arguments, from `index` on: temperature, topK, topP, minP, repetitionPenalty,
// frequencyPenalty, presencePenalty, seed, biasTokens?, biasValues?
constexpr size_t kSamplingArguments = 10;
SamplingOptions sampling_options(const Call& call, size_t index);
LogitBias logit_bias(Call& call, size_t index, int64_t vocab);

}  // namespace foretoken
