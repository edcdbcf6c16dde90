// The norm of the gradients and the AdamW step.
#include <cmath>

#include "csrc/addon/families.h"

namespace foretoken {

namespace {

// sumSquares(x): [1]
napi_value sum_squares(Call& call) {
  const Tensor& x = call.float32("x");
  Tensor out = call.output(DType::kFloat32, {1});
  run_with_workspace(call.device(), SumSquaresArgs{x.as<float>(), out.as<float>(), x.shape.count(), {}}, call.op());
  return call.handle(std::move(out));
}

// clipCoefficient(sumSquares [buckets], maxNorm): [norm, coefficient]
napi_value clip_coefficient(Call& call) {
  const Tensor& squares = call.float32("sumSquares");
  const float max_norm = call.finite("maxNorm");
  if (max_norm < 0) {
    call.fail(ErrorCode::kInvalidArgument, "maxNorm must be at least 0, but is %g", static_cast<double>(max_norm));
  }
  Tensor norm = call.output(DType::kFloat32, {1});
  Tensor coefficient = call.output(DType::kFloat32, {1});
  call.device().backend().run(ClipCoefficientArgs{squares.as<float>(), squares.shape.count(), norm.as<float>(),
                                                  coefficient.as<float>(), max_norm});
  return call.handles({std::move(norm), std::move(coefficient)});
}

double ranged(Call& call, const char* name, double lowest, double below) {
  const double given = call.number(name);
  if (!(given >= lowest && given < below)) {
    call.fail(ErrorCode::kInvalidArgument, "%s must be at least %g and below %g, but is %g", name, lowest, below,
              given);
  }
  return given;
}

// adamw(param, grad, m, v, gradScale?, lr, beta1, beta2, eps, weightDecay, step, rounded?): updates param, m and v, and
// writes the new param in bfloat16 to rounded
napi_value adamw(Call& call) {
  Tensor& param = call.float32("param");
  const Tensor& grad = call.float32("grad");
  Tensor& m = call.float32("m");
  Tensor& v = call.float32("v");
  const Tensor* const grad_scale = call.optional_float32("gradScale");
  call.check_shape(grad, "grad", param.shape);
  call.check_shape(m, "m", param.shape);
  call.check_shape(v, "v", param.shape);
  if (grad_scale != nullptr && grad_scale->shape.count() != 1) {
    call.fail(ErrorCode::kShapeMismatch, "gradScale is %s, but must have one element",
              grad_scale->shape.text().c_str());
  }
  AdamwArgs args{};
  args.param = param.as<float>();
  args.grad = grad.as<float>();
  args.m = m.as<float>();
  args.v = v.as<float>();
  args.grad_scale = grad_scale ? grad_scale->as<float>() : nullptr;
  args.count = param.shape.count();
  args.lr = ranged(call, "lr", 0, 1e30);
  args.beta1 = ranged(call, "beta1", 0, 1);
  args.beta2 = ranged(call, "beta2", 0, 1);
  args.eps = ranged(call, "eps", 0, 1e30);
  args.weight_decay = ranged(call, "weightDecay", 0, 1e30);
  const auto step = static_cast<double>(call.integer("step", 1));
  args.bias_correction1 = 1 - std::pow(args.beta1, step);
  args.bias_correction2 = 1 - std::pow(args.beta2, step);
  if (call.present()) {
    Tensor& rounded = call.row_major("rounded");
    if (rounded.dtype != DType::kBFloat16) {
      call.fail(ErrorCode::kDTypeMismatch, "rounded must be bfloat16, but is %s", name_of(rounded.dtype));
    }
    call.check_shape(rounded, "rounded", param.shape);
    args.rounded = rounded.data();
  }
  call.device().backend().run(args);
  return call.nothing();
}

}  // namespace

const Exports kOptimizerExports = {
    {"sumSquares", sum_squares},
    {"clipCoefficient", clip_coefficient},
    {"adamw", adamw},
};

}  // namespace foretoken
