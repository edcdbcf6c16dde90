// Top-k, and draws from hidden states and from logits.
#include <cmath>

#include "csrc/addon/families.h"

namespace foretoken {

namespace {

float ranged(const Call& call, size_t index, const char* name, float lowest, float highest) {
  const float given = call.finite(index, name);
  if (given < lowest || given > highest) {
    call.fail(ErrorCode::kInvalidArgument, "%s must be in %g … %g, but is %g", name, static_cast<double>(lowest),
              static_cast<double>(highest), static_cast<double>(given));
  }
  return given;
}

constexpr float kLargest = 3e38F;

// topK(x, k): [indices, values], both [..., k]
napi_value top_k(Call& call) {
  const Tensor& x = call.float32(0, "x");
  call.check_rank(x, "x", 1);
  const int64_t cols = x.shape[-1];
  if (cols > INT32_MAX) call.fail(ErrorCode::kShapeMismatch, "x has too many columns");
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
  const Tensor& hidden = call.float32(0, "hidden");
  const Tensor& weight = call.floating(1, "weight");
  const Tensor* const bias = call.optional_float32(2, "bias");
  const Tensor* const positions = call.optional_int32(3, "positions");
  LinearSampleArgs args{};
  args.softcap = ranged(call, 4, "softcap", 0, kLargest);
  args.temperature = ranged(call, 5, "temperature", 0, kLargest);
  args.seed = call.seed(6, "seed");
  call.check_rank(hidden, "hidden", 2);
  call.check_rank(weight, "weight", 2);
  args.rows = hidden.shape[0];
  args.vocab = weight.shape[0];
  args.dim = weight.shape[1];
  call.check_shape(hidden, "hidden", {args.rows, args.dim});
  if (bias != nullptr) call.check_shape(*bias, "bias", {args.vocab});
  if (positions != nullptr) call.check_shape(*positions, "positions", {args.rows});
  if (positions == nullptr && args.temperature > 0) {
    call.fail(ErrorCode::kInvalidArgument, "positions are needed unless temperature is 0");
  }
  Tensor tokens = call.output(DType::kInt32, {args.rows});
  args.hidden = hidden.as<float>();
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
  call.check_shape(positions, "positions", {args.rows});
  if (history != nullptr) call.check_rank(*history, "history", 1, 1);
  args.history_length = history ? history->shape[0] : 0;
  args.prompt_length = call.integer(3, "promptLength", 0, args.history_length);
  args.options = sampling_options(call, 4);
  args.bias = logit_bias(call, 4, args.vocab);
  Tensor tokens = call.output(DType::kInt32, {args.rows});
  args.logits = logits.as<float>();
  args.positions = positions.as<int32_t>();
  args.history = history ? history->as<int32_t>() : nullptr;
  args.tokens = tokens.as<int32_t>();
  run_with_workspace(call.device(), args, call.op());
  return call.handle(std::move(tokens));
}

}  // namespace

SamplingOptions sampling_options(const Call& call, size_t index) {
  SamplingOptions options;
  options.temperature = ranged(call, index, "temperature", 0, kLargest);
  options.top_k = static_cast<int32_t>(call.integer(index + 1, "topK", 0, INT32_MAX));
  options.top_p = ranged(call, index + 2, "topP", 0, 1);
  options.min_p = ranged(call, index + 3, "minP", 0, 1);
  options.repetition_penalty = ranged(call, index + 4, "repetitionPenalty", 1e-30F, kLargest);
  options.frequency_penalty = call.finite(index + 5, "frequencyPenalty");
  options.presence_penalty = call.finite(index + 6, "presencePenalty");
  options.seed = call.seed(index + 7, "seed");
  return options;
}

LogitBias logit_bias(Call& call, size_t index, int64_t vocab) {
  const Tensor* const tokens = call.optional_int32(index + 8, "biasTokens");
  const Tensor* const values = call.optional_float32(index + 9, "biasValues");
  if (tokens == nullptr || values == nullptr) return {};
  call.check_rank(*tokens, "biasTokens", 1, 1);
  call.check_shape(*values, "biasValues", tokens->shape);
  call.check_indices(*tokens, "biasTokens", vocab);
  return {tokens->as<int32_t>(), values->as<float>(), tokens->shape[0]};
}

const Exports kSamplingExports = {
    {"topK", top_k},
    {"linearSample", linear_sample},
    {"sampleLogits", sample_logits},
};

}  // namespace foretoken
