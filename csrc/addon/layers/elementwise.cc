// Elementwise ops: add, accumulate, scale, silu, sigmoidGate, concat and their gradients. Ops over rows run nothing if there
// is no element to write: a tensor without elements may have any number of rows.
#include "csrc/addon/families.h"

namespace foretoken {

namespace {

void check_same_shape(const Call& call, const Tensor& a, const char* a_name, const Tensor& b, const char* b_name) {
  if (a.shape == b.shape) return;
  call.fail(ErrorCode::kShapeMismatch, "%s is %s but %s is %s; they must be the same", a_name, a.shape.text().c_str(),
            b_name, b.shape.text().c_str());
}

// add(a, b)
napi_value add(Call& call) {
  const Tensor& a = call.activations("a");
  const Tensor& b = call.activations("b");
  check_same_shape(call, a, "a", b, "b");
  Tensor out = call.output(a.dtype, a.shape);
  call.device().backend().run(AddArgs{a.data(), b.data(), out.data(), a.shape.count(), a.dtype});
  return call.handle(std::move(out));
}

// Reads an optional factor, a tensor with one element.
const float* device_factor(Call& call) {
  const Tensor* const factor = call.optional_float32("deviceFactor");
  if (factor == nullptr) return nullptr;
  if (factor->shape.count() != 1) {
    call.fail(ErrorCode::kShapeMismatch, "deviceFactor is %s, but must have one element", factor->shape.text().c_str());
  }
  return factor->as<float>();
}

// accumulate(out, in, scale, deviceFactor?): out += scale * in * deviceFactor; out and in may differ in dtype
napi_value accumulate(Call& call) {
  Tensor& out = call.any_activations("out");
  const Tensor& in = call.any_activations("in");
  check_same_shape(call, out, "out", in, "in");
  call.device().backend().run(AccumulateArgs{in.data(), out.data(), in.shape.count(), call.finite("scale"),
                                             device_factor(call), in.dtype, out.dtype});
  return call.nothing();
}

// scale(x, factor, deviceFactor?)
napi_value scale(Call& call) {
  const Tensor& x = call.activations("x");
  Tensor out = call.output(x.dtype, x.shape);
  call.device().backend().run(
      ScaleArgs{x.data(), out.data(), x.shape.count(), call.finite("factor"), device_factor(call), x.dtype});
  return call.handle(std::move(out));
}

// silu(x)
napi_value silu(Call& call) {
  const Tensor& x = call.activations("x");
  Tensor out = call.output(x.dtype, x.shape);
  call.device().backend().run(SiluArgs{x.data(), out.data(), x.shape.count(), x.dtype});
  return call.handle(std::move(out));
}

// siluBackward(gradOut, x)
napi_value silu_backward(Call& call) {
  const Tensor& grad_out = call.activations("gradOut");
  const Tensor& x = call.activations("x");
  check_same_shape(call, grad_out, "gradOut", x, "x");
  Tensor grad_x = call.output(x.dtype, x.shape);
  call.device().backend().run(SiluBackwardArgs{grad_out.data(), x.data(), grad_x.data(), x.shape.count(), x.dtype});
  return call.handle(std::move(grad_x));
}

// sigmoidGate(x, gate)
napi_value sigmoid_gate(Call& call) {
  const Tensor& x = call.activations("x");
  const Tensor& gate = call.activations("gate");
  check_same_shape(call, x, "x", gate, "gate");
  Tensor out = call.output(x.dtype, x.shape);
  call.device().backend().run(SigmoidGateArgs{x.data(), gate.data(), out.data(), x.shape.count(), x.dtype});
  return call.handle(std::move(out));
}

// concat(a, b): along the last dimension
napi_value concat(Call& call) {
  const Tensor& a = call.activations("a");
  const Tensor& b = call.activations("b");
  call.check_rank(a, "a", 1, kMaxRank);
  call.check_rank(b, "b", 1, kMaxRank);
  if (!(a.shape.with_last(0) == b.shape.with_last(0))) {
    call.fail(ErrorCode::kShapeMismatch, "a is %s but b is %s; all dimensions but the last must match",
              a.shape.text().c_str(), b.shape.text().c_str());
  }
  Tensor out = call.output(a.dtype, a.shape.with_last(a.shape[-1] + b.shape[-1]));
  if (out.shape.count() > 0) {
    call.device().backend().run(
        ConcatArgs{a.data(), b.data(), out.data(), a.shape.rows(), a.shape[-1], b.shape[-1], a.dtype});
  }
  return call.handle(std::move(out));
}

// sliceColumns(x, start, dim): columns start … start + dim - 1 of the last dimension
napi_value slice_columns(Call& call) {
  const Tensor& x = call.activations("x");
  call.check_rank(x, "x", 1, kMaxRank);
  const int64_t start = call.integer("start", 0, x.shape[-1]);
  const int64_t dim = call.integer("dim", 0, x.shape[-1] - start);
  Tensor out = call.output(x.dtype, x.shape.with_last(dim));
  if (out.shape.count() > 0) {
    call.device().backend().run(
        SliceColumnsArgs{x.data(), out.data(), x.shape.rows(), x.shape[-1], start, dim, x.dtype});
  }
  return call.handle(std::move(out));
}

}  // namespace

const Exports kElementwiseExports = {
    {"add", add},       {"accumulate", accumulate},      {"scale", scale},
    {"silu", silu},     {"siluBackward", silu_backward}, {"sigmoidGate", sigmoid_gate},
    {"concat", concat}, {"sliceColumns", slice_columns},
};

}  // namespace foretoken
