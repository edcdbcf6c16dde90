#include "csrc/addon/sampling/arguments.h"

namespace foretoken {

namespace {

SamplingNeeds needs_argument(Call& call) {
  const std::string given = call.string("needs");
  if (given == "nothing") return SamplingNeeds::kNothing;
  if (given == "logits") return SamplingNeeds::kLogits;
  if (given == "history") return SamplingNeeds::kHistory;
  call.fail(ErrorCode::kInvalidArgument, "needs must be nothing, logits or history, but is %s", given.c_str());
}

}  // namespace

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

SequenceSampling sequence_sampling(Call& call, int64_t sequences) {
  constexpr int64_t kWords = sizeof(SamplingNumbers) / sizeof(int32_t);
  const Tensor& numbers = call.int32("sampling");
  const Tensor* const tokens = call.optional_int32("biasTokens");
  const Tensor* const values = call.optional_float32("biasValues");
  call.check_rank(numbers, "sampling", 2);
  // Options may be packed for more sequences than the call has.
  const int64_t packed = numbers.shape[0];
  if (packed < sequences || numbers.shape[1] != kWords) {
    call.fail(ErrorCode::kShapeMismatch, "sampling is %s, but must be [%lld or more, %lld]",
              numbers.shape.text().c_str(), lld(sequences), lld(kWords));
  }
  SequenceSampling sampling{numbers.as<SamplingNumbers>(), nullptr, nullptr, 0, needs_argument(call)};
  if (tokens == nullptr || values == nullptr) return sampling;
  call.check_rank(*tokens, "biasTokens", 2);
  sampling.bias_room = tokens->shape[1];
  call.check_shape(*tokens, "biasTokens", {packed, sampling.bias_room});
  call.check_shape(*values, "biasValues", tokens->shape);
  sampling.bias_tokens = tokens->as<int32_t>();
  sampling.bias_values = values->as<float>();
  return sampling;
}

}  // namespace foretoken
