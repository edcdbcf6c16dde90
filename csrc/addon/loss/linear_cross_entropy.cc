// The fused unembedding and cross-entropy: loss, statistics and gradients. All logits together never exist in memory.
#include "csrc/addon/families.h"
#include "csrc/addon/linear/unembedding.h"

namespace foretoken {

namespace {

LossMode mode_argument(Call& call) {
  const std::string given = call.string("mode");
  if (given == "loss") return LossMode::kLoss;
  if (given == "lossAndGrad") return LossMode::kLossAndGrad;
  if (given == "backward") return LossMode::kBackward;
  call.fail(ErrorCode::kInvalidArgument, "mode must be loss, lossAndGrad or backward, but is %s", given.c_str());
}

Reduction reduction_argument(Call& call) {
  const std::string given = call.string("reduction");
  if (given == "sum") return Reduction::kSum;
  if (given == "mean") return Reduction::kMean;
  if (given == "meanPerHead") return Reduction::kMeanPerHead;
  call.fail(ErrorCode::kInvalidArgument, "reduction must be sum, mean or meanPerHead, but is %s", given.c_str());
}

LossOptions options_arguments(Call& call) {
  constexpr float kLargest = 3e38F;
  LossOptions options;
  options.ignore_index = static_cast<int32_t>(call.integer("ignoreIndex", INT32_MIN, INT32_MAX));
  options.label_smoothing = call.ranged("labelSmoothing", 0, 1);
  options.z_loss = call.ranged("zLoss", 0, kLargest);
  options.entropy_weight = call.finite("entropyWeight");
  options.softcap = call.ranged("softcap", 0, kLargest);
  return options;
}

template <typename T>
T* pointer(Tensor* tensor) {
  return tensor == nullptr ? nullptr : tensor->as<T>();
}

// linearCrossEntropy(mode, hidden, weight, bias?, targets, coefficients?, heads, headWeights?, reduction,
//                    ignoreIndex, labelSmoothing, zLoss, entropyWeight, softcap, chunkRows,
//                    nll, lse, entropy, argmax, rank, savedLse?, gradHidden?, gradWeight?, gradBias?):
//   [total, headLoss, headCount, then the outputs whose boolean among nll … rank is true, in this order]
napi_value linear_cross_entropy(Call& call) {
  const LossMode mode = mode_argument(call);
  const Tensor& hidden = call.floating("hidden");
  const Tensor& weight = call.weight("weight");
  if (hidden.layout != Layout::kRowMajor) {
    call.fail(ErrorCode::kUnsupported, "hidden is a packed weight, but must not be packed");
  }
  if (mode != LossMode::kLoss && weight.layout != Layout::kRowMajor) {
    call.fail(ErrorCode::kUnsupported, "weight is packed, but must not be packed for gradients");
  }
  call.check_rank(hidden, "hidden", 2);
  call.check_rank(weight, "weight", 2);
  if (hidden.shape[1] != weight.shape[1]) {
    call.fail(ErrorCode::kShapeMismatch, "hidden is %s but weight is %s; the last dimensions must match",
              hidden.shape.text().c_str(), weight.shape.text().c_str());
  }
  LinearCrossEntropyArgs args{};
  args.mode = mode;
  args.hidden = hidden.matrix();
  args.weight = weight.matrix();
  args.rows = hidden.shape[0];
  args.dim = hidden.shape[1];
  args.vocab = weight.shape[0];
  if (args.vocab < 1 || args.vocab > INT32_MAX || args.dim < 1) {
    call.fail(ErrorCode::kShapeMismatch, "weight is %s, but must have at least one row and one column",
              weight.shape.text().c_str());
  }
  const auto input = [&](const char* name, const Shape& shape) {
    Tensor* const tensor = call.optional_float32(name);
    if (tensor != nullptr) call.check_shape(*tensor, name, shape);
    return pointer<float>(tensor);
  };
  args.bias = input("bias", {args.vocab});
  const Tensor& targets = call.int32("targets");
  call.check_shape(targets, "targets", {args.rows});
  args.targets = targets.as<int32_t>();
  args.coefficients = input("coefficients", {args.rows});
  args.heads = call.integer("heads", 1);
  if (args.rows % args.heads != 0) {
    call.fail(ErrorCode::kShapeMismatch,
              "hidden has %lld rows, but the number of rows must be a multiple of heads, which is %lld", lld(args.rows),
              lld(args.heads));
  }
  args.head_weights = input("headWeights", {args.heads});
  args.reduction = reduction_argument(call);
  args.options = options_arguments(call);
  args.chunk_rows = call.integer("chunkRows", 0);
  call.check_indices(targets, "targets", args.vocab, &args.options.ignore_index);

  std::vector<Tensor> results;
  results.reserve(8);
  const auto output = [&](DType dtype, const Shape& shape) {
    results.push_back(call.output(dtype, shape));
    return results.back().data();
  };
  args.total = static_cast<float*>(output(DType::kFloat32, {}));
  args.head_loss = static_cast<float*>(output(DType::kFloat32, {args.heads}));
  args.head_count = static_cast<int32_t*>(output(DType::kInt32, {args.heads}));
  const auto wanted = [&](const char* name, DType dtype) {
    return call.boolean(name) ? output(dtype, {args.rows}) : nullptr;
  };
  args.nll = static_cast<float*>(wanted("nll", DType::kFloat32));
  args.lse = static_cast<float*>(wanted("lse", DType::kFloat32));
  args.entropy = static_cast<float*>(wanted("entropy", DType::kFloat32));
  args.argmax = static_cast<int32_t*>(wanted("argmax", DType::kInt32));
  args.rank = static_cast<int32_t*>(wanted("rank", DType::kInt32));
  float* const saved_lse = input("savedLse", {args.rows});
  if (mode == LossMode::kBackward) {
    if (saved_lse == nullptr) call.fail(ErrorCode::kInvalidArgument, "savedLse is needed for mode backward");
    args.lse = saved_lse;
  }
  if (call.present()) {
    const Tensor& grad_hidden = call.row_major("gradHidden");
    // Refuses float16, whose range is too small for gradients.
    if (grad_hidden.dtype != DType::kFloat32 &&
        (grad_hidden.dtype != DType::kBFloat16 || hidden.dtype != DType::kBFloat16)) {
      call.fail(ErrorCode::kDTypeMismatch, "gradHidden must be float32%s, but is %s",
                hidden.dtype == DType::kBFloat16 ? " or bfloat16" : "", name_of(grad_hidden.dtype));
    }
    call.check_shape(grad_hidden, "gradHidden", hidden.shape);
    args.grad_hidden = grad_hidden.data();
    args.grad_hidden_dtype = grad_hidden.dtype;
  }
  args.grad_weight = input("gradWeight", weight.shape);
  args.grad_bias = input("gradBias", {args.vocab});
  run_with_workspace(call.device(), args, call.op());
  return call.handles(std::move(results));
}

}  // namespace

const Exports kLinearCrossEntropyExports = {
    {"linearCrossEntropy", linear_cross_entropy},
};

}  // namespace foretoken
