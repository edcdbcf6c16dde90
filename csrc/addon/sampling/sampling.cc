// Draws tokens from hidden states and from logits.
#include "csrc/addon/families.h"
#include "csrc/addon/linear/unembedding.h"
#include "csrc/addon/sampling/arguments.h"

namespace foretoken {

namespace {

// linearSample(hidden, weight, bias?, positions?, softcap, temperature, seed): int32 [rows]
napi_value linear_sample(Call& call) {
  const Tensor& hidden = call.activations("hidden");
  const Tensor& weight = call.weight("weight");
  const Tensor* const bias = call.optional_float32("bias");
  const Tensor* const positions = call.optional_int32("positions");
  LinearSampleArgs args{};
  args.softcap = softcap_argument(call);
  args.temperature = temperature_argument(call);
  args.seed = call.seed("seed");
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
  const Tensor& logits = call.float32("logits");
  const Tensor& positions = call.int32("positions");
  const Tensor* const history = call.optional_int32("history");
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
  args.prompt_length = call.integer("promptLength", 0, args.history_length);
  args.options = sampling_options(call);
  check_history(call, has_penalties(args.options), history);
  args.bias = logit_bias(call, args.vocab);
  Tensor tokens = call.output(DType::kInt32, {args.rows});
  args.logits = logits.as<float>();
  args.positions = positions.as<int32_t>();
  args.history = history ? history->as<int32_t>() : nullptr;
  args.tokens = tokens.as<int32_t>();
  run_with_workspace(call.device(), args, call.op());
  return call.handle(std::move(tokens));
}

}  // namespace

const Exports kSamplingExports = {
    {"linearSample", linear_sample},
    {"sampleLogits", sample_logits},
};

}  // namespace foretoken
