#include "csrc/addon/sampling/arguments.h"

namespace foretoken {

float temperature_argument(Call& call) {
  const float given = call.ranged("temperature", 0, kLargestTemperature);
  if (given > 0 && given < kLeastTemperature) {
    call.fail(ErrorCode::kInvalidArgument, "temperature must be 0 or at least %g, but is %g",
              static_cast<double>(kLeastTemperature), static_cast<double>(given));
  }
  return given;
}

SamplingOptions sampling_options(Call& call) {
  SamplingOptions options;
  options.temperature = temperature_argument(call);
  options.top_k = static_cast<int32_t>(call.integer("topK", 0, INT32_MAX));
  options.top_p = call.ranged("topP", 0, 1);
  options.min_p = call.ranged("minP", 0, 1);
  options.repetition_penalty = call.ranged("repetitionPenalty", kLeastRepetitionPenalty, kLargestRepetitionPenalty);
  options.frequency_penalty = call.ranged("frequencyPenalty", -kLargestPenalty, kLargestPenalty);
  options.presence_penalty = call.ranged("presencePenalty", -kLargestPenalty, kLargestPenalty);
  options.seed = call.seed("seed");
  return options;
}

LogitBias logit_bias(Call& call, int64_t vocab) {
  const Tensor* const tokens = call.optional_int32("biasTokens");
  const Tensor* const values = call.optional_float32("biasValues");
  if (tokens == nullptr || values == nullptr) return {};
  call.check_rank(*tokens, "biasTokens", 1);
  call.check_shape(*values, "biasValues", tokens->shape);
  call.check_indices(*tokens, "biasTokens", vocab);
  return {tokens->as<int32_t>(), values->as<float>(), tokens->shape[0]};
}

void check_history(const Call& call, bool is_needed, const Tensor* history) {
  if (history != nullptr || !is_needed) return;
  call.fail(ErrorCode::kInvalidArgument,
            "history is needed for repetitionPenalty, frequencyPenalty and presencePenalty");
}

}  // namespace foretoken
