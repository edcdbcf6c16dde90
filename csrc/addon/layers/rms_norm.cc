#include "csrc/addon/families.h"

namespace foretoken {

namespace {

// The number of rows with a norm: 0 if rows have no elements.
int64_t normed_rows(const Tensor& x) { return x.shape.count() > 0 ? x.shape.rows() : 0; }

float eps_argument(Call& call) {
  const float eps = call.finite("eps");
  if (eps < 0) call.fail(ErrorCode::kInvalidArgument, "eps must be at least 0, but is %g", static_cast<double>(eps));
  return eps;
}

// rmsNorm(x, weight, eps, residual?): [y, rstd], or with a residual [y, rstd, sum], where y is the norm of sum
napi_value rms_norm(Call& call) {
  const Tensor& x = call.activations("x");
  const Tensor& weight = call.float32("weight");
  const float eps = eps_argument(call);
  call.check_rank(x, "x", 1, kMaxRank);
  call.check_shape(weight, "weight", {x.shape[-1]});
  const Tensor* const residual = call.present() ? &call.activations("residual") : nullptr;
  if (residual != nullptr) call.check_shape(*residual, "residual", x.shape);
  std::vector<Tensor> results;
  results.push_back(call.output(x.dtype, x.shape));
  results.push_back(call.output(DType::kFloat32, {normed_rows(x)}));
  if (residual != nullptr) results.push_back(call.output(x.dtype, x.shape));
  call.device().backend().run(RmsNormArgs{x.data(), residual ? residual->data() : nullptr,
                                          residual ? results[2].data() : nullptr, weight.as<float>(), results[0].data(),
                                          results[1].as<float>(), normed_rows(x), x.shape[-1], eps, x.dtype});
  return call.handles(std::move(results));
}

// rmsNormBackward(gradY, x, weight, rstd, gradWeight?): gradX; adds to gradWeight
napi_value rms_norm_backward(Call& call) {
  const Tensor& grad_y = call.activations("gradY");
  const Tensor& x = call.activations("x");
  const Tensor& weight = call.float32("weight");
  const Tensor& rstd = call.float32("rstd");
  Tensor* const grad_weight = call.optional_float32("gradWeight");
  call.check_rank(x, "x", 1, kMaxRank);
  call.check_shape(grad_y, "gradY", x.shape);
  call.check_shape(weight, "weight", {x.shape[-1]});
  call.check_shape(rstd, "rstd", {normed_rows(x)});
  if (grad_weight != nullptr) call.check_shape(*grad_weight, "gradWeight", weight.shape);
  Tensor grad_x = call.output(x.dtype, x.shape);
  run_with_workspace(call.device(),
                     RmsNormBackwardArgs{grad_y.data(),
                                         x.data(),
                                         weight.as<float>(),
                                         rstd.as<float>(),
                                         grad_x.data(),
                                         grad_weight ? grad_weight->as<float>() : nullptr,
                                         normed_rows(x),
                                         x.shape[-1],
                                         x.dtype,
                                         {}},
                     call.op());
  return call.handle(std::move(grad_x));
}

// gatedRmsNorm(x, gate, weight, eps)
napi_value gated_rms_norm(Call& call) {
  const Tensor& x = call.activations("x");
  const Tensor& gate = call.activations("gate");
  const Tensor& weight = call.float32("weight");
  const float eps = eps_argument(call);
  call.check_rank(x, "x", 1, kMaxRank);
  call.check_shape(gate, "gate", x.shape);
  call.check_rank(weight, "weight", 1);
  const int64_t width = x.shape[-1], dim = weight.shape[0];
  if (dim > 0 ? width % dim != 0 : width != 0) {
    call.fail(ErrorCode::kShapeMismatch, "x is %s, but its last dimension must be a multiple of that of weight, %s",
              x.shape.text().c_str(), weight.shape.text().c_str());
  }
  Tensor y = call.output(x.dtype, x.shape);
  const int64_t rows = dim > 0 ? x.shape.count() / dim : 0;
  call.device().backend().run(
      GatedRmsNormArgs{x.data(), gate.data(), weight.as<float>(), y.data(), rows, dim, eps, x.dtype});
  return call.handle(std::move(y));
}

}  // namespace

const Exports kRmsNormExports = {
    {"rmsNorm", rms_norm}, {"rmsNormBackward", rms_norm_backward}, {"gatedRmsNorm", gated_rms_norm}};

}  // namespace foretoken
