// Gated linear units. They run nothing if there is no element to write: a tensor without elements may have any number of
// rows.
#include "csrc/addon/families.h"

namespace foretoken {

namespace {

GluActivation activation_argument(Call& call) {
  const std::string given = call.string("activation");
  if (given == "silu") return GluActivation::kSilu;
  if (given == "gelu_tanh") return GluActivation::kGeluTanh;
  call.fail(ErrorCode::kInvalidArgument, "activation must be silu or gelu_tanh, but is %s", given.c_str());
}

int64_t half_of_last(const Call& call, const Tensor& gate_up) {
  call.check_rank(gate_up, "gateUp", 1, kMaxRank);
  if (gate_up.shape[-1] % 2 != 0) {
    call.fail(ErrorCode::kShapeMismatch, "gateUp is %s, but its last dimension must be even",
              gate_up.shape.text().c_str());
  }
  return gate_up.shape[-1] / 2;
}

// glu(gateUp, activation)
napi_value glu(Call& call) {
  const Tensor& gate_up = call.activations("gateUp");
  const GluActivation activation = activation_argument(call);
  const int64_t dim = half_of_last(call, gate_up);
  Tensor out = call.output(gate_up.dtype, gate_up.shape.with_last(dim));
  if (out.shape.count() > 0) {
    call.device().backend().run(
        GluArgs{gate_up.data(), out.data(), gate_up.shape.rows(), dim, activation, gate_up.dtype});
  }
  return call.handle(std::move(out));
}

// gluBackward(gradOut, gateUp, activation)
napi_value glu_backward(Call& call) {
  const Tensor& grad_out = call.activations("gradOut");
  const Tensor& gate_up = call.activations("gateUp");
  const GluActivation activation = activation_argument(call);
  const int64_t dim = half_of_last(call, gate_up);
  call.check_shape(grad_out, "gradOut", gate_up.shape.with_last(dim));
  Tensor grad = call.output(gate_up.dtype, gate_up.shape);
  if (grad.shape.count() > 0) {
    call.device().backend().run(GluBackwardArgs{grad_out.data(), gate_up.data(), grad.data(), gate_up.shape.rows(), dim,
                                                activation, gate_up.dtype});
  }
  return call.handle(std::move(grad));
}

}  // namespace

const Exports kGluExports = {{"glu", glu}, {"gluBackward", glu_backward}};

}  // namespace foretoken
