// Top-k, and draws from hidden states and from logits.
#include "csrc/core/sampling.h"
#include "csrc/addon/families.h"

namespace foretoken {

namespace {

constexpr float kLargestSoftcap = 1e30F;

// 0, or large enough for logits over it to stay finite.
float temperature_argument(const Call& call, size_t index) {
  constexpr float kLowest = 1e-6F;
  const float given = call.ranged(index, "temperature", 0, 1e6F);
  if (given > 0 && given < kLowest) {
    call.fail(ErrorCode::kInvalidArgument, "temperature must be 0 or at least %g, but is %g",
              static_cast<double>(kLowest), static_cast<double>(given));
  }
  return given;
}

// topK(x, k): [indices, values], both [..., k]
napi_value top_k(Call& call) {
  const Tensor& x = call.float32(0, "x");
  call.check_rank(x, "x", 1, kMaxRank);
  const int64_t cols = x.shape[-1];
  if (cols > INT32_MAX) call.fail(ErrorCode::kShapeMismatch, "x has %lld columns", static_cast<long long>(cols));
  const int64_t k = call.integer(1, "k", 0, cols);
  Tensor indices = call.output(DType::kInt32, x.shape.with_last(k));
  Tensor values = call.output(DType::kFloat32, x.shape.with_last(k));
  if (k > 0) {
    run_with_workspace(call.device(),
                       TopKArgs{x.as<float>(), indices.as<int32_t>(), values.as<float>(), x.shape.rows(), cols, k, {}},
                       call.op());
  }
  return call.handles({std::move(indices), std::move(values)});
}

// linearSample(hidden, weight, bias?, positions?, softcap, temperature, seed): int32 [rows]
napi_value linear_sample(Call& call) {
  const Tensor& hidden = call.activations(0, "hidden");
  const Tensor& weight = call.weight(1, "weight");
  const Tensor* const bias = call.optional_float32(2, "bias");
  const Tensor* const positions = call.optional_int32(3, "positions");
  LinearSampleArgs args{};
  args.softcap = softcap_argument(call, 4);
  args.temperature = temperature_argument(call, 5);
  args.seed = call.seed(6, "seed");
  const UnembeddingShape shape = unembedding_shape(call, hidden, weight, bias);
  args.rows = shape.rows;
  args.vocab = shape.vocab;
  args.dim = shape.dim;
  if (positions != nullptr) call.check_shape(*positions, "positions", {args.rows});
  if (positions == nullptr && args.temperature > 0) {
    call.fail(ErrorCode::kInvalidArgument, "positions are needed unless temperature is 0");
  }
  Tensor tokens = call.output(DType::kInt32, {args.rows});
  args.hidden = hidden.data();
  args.dtype = hidden.dtype;
  args.weight = weight.matrix();
  args.bias = bias ? bias->as<float>() : nullptr;
  args.positions = positions ? positions->as<int32_t>() : nullptr;
  args.tokens = tokens.as<int32_t>();
  run_with_workspace(call.device(), args, call.op());
  return call.handle(std::move(tokens));
}

// sampleLogits(logits, positions, history?, promptLength, ...sampling): int32 [rows]
napi_value sample_logits(Call& call) {
  const Tensor& logits = call.float32(0, "logits");
  const Tensor& positions = call.int32(1, "positions");
  const Tensor* const history = call.optional_int32(2, "history");
  call.check_rank(logits, "logits", 2);
  SampleLogitsArgs args{};
  args.rows = logits.shape[0];
  args.vocab = logits.shape[1];
  check_vocab(call, logits, "logits", args.vocab);
  call.check_shape(positions, "positions", {args.rows});
  if (history != nullptr) {
    call.check_rank(*history, "history", 1);
    call.check_indices(*history, "history", args.vocab);
  }
  args.history_length = history ? history->shape[0] : 0;
  args.prompt_length = call.integer(3, "promptLength", 0, args.history_length);
  args.options = sampling_options(call, 4);
  check_history(call, args.options, history);
  args.bias = logit_bias(call, 4, args.vocab);
  Tensor tokens = call.output(DType::kInt32, {args.rows});
  args.logits = logits.as<float>();
  args.positions = positions.as<int32_t>();
  args.history = history ? history->as<int32_t>() : nullptr;
  args.tokens = tokens.as<int32_t>();
  run_with_workspace(call.device(), args, call.op());
  return call.handle(std::move(tokens));
}

// samplingOptions(...sampling): nothing; throws what an op would throw, but says what the user called the argument
napi_value check_sampling_options(Call& call) {
  sampling_options(call, 0);
  return call.nothing();
}

}  // namespace

float softcap_argument(const Call& call, size_t index) { return call.ranged(index, "softcap", 0, kLargestSoftcap); }

void check_vocab(const Call& call, const Tensor& tensor, const char* name, int64_t vocab) {
  if (vocab >= 1 && vocab <= INT32_MAX) return;
  call.fail(ErrorCode::kShapeMismatch, "%s is %s, which makes a vocabulary of %lld tokens", name,
            tensor.shape.text().c_str(), static_cast<long long>(vocab));
}

UnembeddingShape unembedding_shape(const Call& call, const Tensor& hidden, const Tensor& weight, const Tensor* bias) {
  call.check_rank(hidden, "hidden", 2);
  call.check_rank(weight, "weight", 2);
  if (hidden.shape[1] != weight.shape[1]) {
    call.fail(ErrorCode::kShapeMismatch, "hidden is %s but weight is %s; the last dimensions must match",
              hidden.shape.text().c_str(), weight.shape.text().c_str());
  }
  check_vocab(call, weight, "weight", weight.shape[0]);
  if (bias != nullptr) call.check_shape(*bias, "bias", {weight.shape[0]});
  return {hidden.shape[0], weight.shape[1], weight.shape[0]};
}

SamplingOptions sampling_options(const Call& call, size_t index) {
  constexpr float kLargestPenalty = 1e4F;
  SamplingOptions options;
  options.temperature = temperature_argument(call, index);
  options.top_k = static_cast<int32_t>(call.integer(index + 1, "topK", 0, INT32_MAX));
  options.top_p = call.ranged(index + 2, "topP", 0, 1);
  options.min_p = call.ranged(index + 3, "minP", 0, 1);
  options.repetition_penalty = call.ranged(index + 4, "repetitionPenalty", 1e-3F, 1e3F);
  options.frequency_penalty = call.ranged(index + 5, "frequencyPenalty", -kLargestPenalty, kLargestPenalty);
  options.presence_penalty = call.ranged(index + 6, "presencePenalty", -kLargestPenalty, kLargestPenalty);
  options.seed = call.seed(index + 7, "seed");
  return options;
}

void check_history(const Call& call, const SamplingOptions& options, const Tensor* history) {
  if (history != nullptr || !has_penalties(options)) return;
  call.fail(ErrorCode::kInvalidArgument,
            "history is needed for repetitionPenalty, frequencyPenalty and presencePenalty");
}

LogitBias logit_bias(Call& call, size_t index, int64_t vocab) {
  const Tensor* const tokens = call.optional_int32(index + 8, "biasTokens");
  const Tensor* const values = call.optional_float32(index + 9, "biasValues");
  if (tokens == nullptr || values == nullptr) return {};
  call.check_rank(*tokens, "biasTokens", 1);
  call.check_shape(*values, "biasValues", tokens->shape);
  call.check_indices(*tokens, "biasTokens", vocab);
  return {tokens->as<int32_t>(), values->as<float>(), tokens->shape[0]};
}

const Exports kSamplingExports = {
    {"topK", top_k},
    {"linearSample", linear_sample},
    {"sampleLogits", sample_logits},
    {"samplingOptions", check_sampling_options},
};

}  // namespace foretoken
