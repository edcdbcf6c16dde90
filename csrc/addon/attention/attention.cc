// Attention of training, over packed documents.
#include "csrc/addon/attention/arguments.h"
#include "csrc/addon/families.h"

namespace foretoken {

namespace {

struct BatchShape {
  int64_t batch, length;
};

BatchShape batch_shape(const Call& call, const Tensor& qkv, const Tensor& starts, int64_t batch) {
  const int64_t rows = qkv.shape[0];
  if (rows % batch != 0) {
    call.fail(ErrorCode::kShapeMismatch, "qkv is %s, but its rows must be a multiple of batch, which is %lld",
              qkv.shape.text().c_str(), lld(batch));
  }
  call.check_shape(starts, "starts", {rows});
  const int64_t length = rows / batch;
  if (const int32_t* const values = starts.known_indices()) {
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t t = i % length;
      if (values[i] >= 0 && values[i] <= t) continue;
      call.fail(ErrorCode::kIndexOutOfRange, "starts[%lld] is %d, but must be in 0 … %lld", lld(i), values[i], lld(t));
    }
  }
  return {batch, length};
}

// attention(qkv, starts, batch, heads, kvHeads, headDim, scale, window): [out, lse]
napi_value attention(Call& call) {
  const Tensor& qkv = call.activations("qkv");
  const Tensor& starts = call.int32("starts");
  const int64_t given_batch = call.integer("batch", 1);
  const AttentionShape shape = attention_shape(call);
  check_qkv(call, qkv, shape);
  const auto [batch, length] = batch_shape(call, qkv, starts, given_batch);
  const int64_t rows = qkv.shape[0];
  Tensor out = call.output(qkv.dtype, {rows, shape.heads * shape.head_dim});
  Tensor lse = call.output(DType::kFloat32, {rows, shape.heads});
  if (rows > 0) {
    run_with_workspace(
        call.device(),
        AttentionArgs{
            qkv.data(), starts.as<int32_t>(), out.data(), lse.as<float>(), batch, length, shape, qkv.dtype, {}},
        call.op());
  }
  std::vector<Tensor> results;
  results.push_back(std::move(out));
  results.push_back(std::move(lse));
  return call.handles(std::move(results));
}

// attentionBackward(gradOut, qkv, starts, out, lse, batch, heads, kvHeads, headDim, scale, window): gradQkv
napi_value attention_backward(Call& call) {
  const Tensor& grad_out = call.activations("gradOut");
  const Tensor& qkv = call.activations("qkv");
  const Tensor& starts = call.int32("starts");
  const Tensor& out = call.activations("out");
  const Tensor& lse = call.float32("lse");
  const int64_t given_batch = call.integer("batch", 1);
  const AttentionShape shape = attention_shape(call);
  check_qkv(call, qkv, shape);
  const auto [batch, length] = batch_shape(call, qkv, starts, given_batch);
  const int64_t rows = qkv.shape[0];
  call.check_shape(grad_out, "gradOut", {rows, shape.heads * shape.head_dim});
  call.check_shape(out, "out", grad_out.shape);
  call.check_shape(lse, "lse", {rows, shape.heads});
  Tensor grad_qkv = call.output(qkv.dtype, qkv.shape);
  if (rows > 0) {
    run_with_workspace(call.device(),
                       AttentionBackwardArgs{grad_out.data(),
                                             qkv.data(),
                                             starts.as<int32_t>(),
                                             out.data(),
                                             lse.as<float>(),
                                             grad_qkv.data(),
                                             batch,
                                             length,
                                             shape,
                                             qkv.dtype,
                                             {}},
                       call.op());
  }
  return call.handle(std::move(grad_qkv));
}

}  // namespace

const Exports kAttentionExports = {{"attention", attention}, {"attentionBackward", attention_backward}};

}  // namespace foretoken
