// Reads the arguments that operations that draw tokens share.
#pragma once

#include "csrc/addon/call.h"
#include "csrc/core/sampling.h"

namespace foretoken {

// Reads a temperature that is 0, or large enough that logits divided by it stay finite.
float temperature_argument(Call& call);

// Reads temperature, topK, topP, minP, repetitionPenalty, frequencyPenalty, presencePenalty and seed.
SamplingOptions sampling_options(Call& call);

// Reads biasTokens? and biasValues?, which follow the sampling options.
LogitBias logit_bias(Call& call, int64_t vocab);

// Reads sampling, biasTokens?, biasValues? and needs. Kernels check what the tensors hold.
SequenceSampling sequence_sampling(Call& call, int64_t sequences);

// Refuses penalties, which need a history, without one: the text that they apply to.
void check_history(const Call& call, bool is_needed, const Tensor* history);

}  // namespace foretoken
