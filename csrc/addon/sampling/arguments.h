// Reads the arguments that several operations have which draw tokens.
#pragma once

#include "csrc/addon/call.h"
#include "csrc/core/sampling.h"

namespace foretoken {

// 0, or large enough that logits divided by it stay finite.
float temperature_argument(const Call& call, size_t index);

// From `index` on: temperature, topK, topP, minP, repetitionPenalty, frequencyPenalty, presencePenalty, seed.
SamplingOptions sampling_options(const Call& call, size_t index);

// biasTokens? and biasValues?, behind the sampling options that begin at `index`.
LogitBias logit_bias(Call& call, size_t index, int64_t vocab);

// Refuses penalties without the text that they look at.
void check_history(const Call& call, const SamplingOptions& options, const Tensor* history);

}  // namespace foretoken
