#include "csrc/core/sampling.h"

namespace foretoken {

bool has_penalties(const SamplingOptions& options) {
  return options.repetition_penalty != 1 || options.frequency_penalty != 0 || options.presence_penalty != 0;
}

bool has_filters(const SamplingOptions& options) {
  return options.temperature > 0 && (options.top_k > 0 || options.top_p < 1 || options.min_p > 0);
}

bool needs_logits(const SamplingOptions& options, const LogitBias& bias) {
  return has_filters(options) || has_penalties(options) || bias.count > 0;
}

}  // namespace foretoken
