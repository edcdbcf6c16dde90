// Embedding, RMSNorm and rotary positions.
#include "csrc/addon/families.h"

namespace foretoken {

namespace {

// embedding(tokens, weight, outDtype?): float32 unless told otherwise
napi_value embedding(Call& call) {
  const Tensor& tokens = call.int32(0, "tokens");
  const Tensor& weight = call.weight(1, "weight");
  if (weight.layout == Layout::kPanels) call.fail(ErrorCode::kUnsupported, "weight is packed; give it unpacked");
  call.check_rank(weight, "weight", 2);
  call.check_rank(tokens, "tokens", 0, kMaxRank - 1);
  call.check_indices(tokens, "tokens", weight.shape[0]);
  Shape shape = tokens.shape;
  shape.dims[shape.rank++] = weight.shape[1];
  Tensor out = call.output(call.activation_dtype(2, "outDtype", DType::kFloat32), shape);
  call.device().backend().run(EmbeddingArgs{tokens.as<int32_t>(), weight.matrix(), out.data(), tokens.shape.count(),
                                            weight.shape[0], weight.shape[1], out.dtype});
  return call.handle(std::move(out));
}

// embeddingBackward(tokens, gradOut, gradWeight): accumulates into gradWeight
napi_value embedding_backward(Call& call) {
  const Tensor& tokens = call.int32(0, "tokens");
  const Tensor& grad_out = call.activations(1, "gradOut");
  Tensor& grad_weight = call.float32(2, "gradWeight");
  call.check_rank(grad_weight, "gradWeight", 2);
  call.check_rank(tokens, "tokens", 0, kMaxRank - 1);
  call.check_indices(tokens, "tokens", grad_weight.shape[0]);
  Shape shape = tokens.shape;
  shape.dims[shape.rank++] = grad_weight.shape[1];
  call.check_shape(grad_out, "gradOut", shape);
  run_with_workspace(call.device(),
                     EmbeddingBackwardArgs{tokens.as<int32_t>(),
                                           grad_out.data(),
                                           grad_weight.as<float>(),
                                           tokens.shape.count(),
                                           grad_weight.shape[0],
                                           grad_weight.shape[1],
                                           grad_out.dtype,
                                           {}},
                     call.op());
  return call.nothing();
}

// The rows that have a norm: any number of them may be without elements.
int64_t normed_rows(const Tensor& x) { return x.shape.count() > 0 ? x.shape.rows() : 0; }

// rmsNorm(x, weight, eps, residual?): [y, rstd], and with a residual [y, rstd, sum]: what was normed is x + residual
napi_value rms_norm(Call& call) {
  const Tensor& x = call.activations(0, "x");
  const Tensor& weight = call.float32(1, "weight");
  const float eps = call.finite(2, "eps");
  if (eps < 0) call.fail(ErrorCode::kInvalidArgument, "eps must be at least 0, but is %g", static_cast<double>(eps));
  call.check_rank(x, "x", 1, kMaxRank);
  call.check_shape(weight, "weight", {x.shape[-1]});
  const Tensor* const residual = call.present(3) ? &call.activations(3, "residual") : nullptr;
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

// rmsNormBackward(gradY, x, weight, rstd, gradWeight?): gradX; accumulates into gradWeight
napi_value rms_norm_backward(Call& call) {
  const Tensor& grad_y = call.activations(0, "gradY");
  const Tensor& x = call.activations(1, "x");
  const Tensor& weight = call.float32(2, "weight");
  const Tensor& rstd = call.float32(3, "rstd");
  Tensor* const grad_weight = call.optional_float32(4, "gradWeight");
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

// rope(x, positions, table, heads, rotatedHeads, inverse)
napi_value rope(Call& call) {
  const Tensor& x = call.activations(0, "x");
  const Tensor& positions = call.int32(1, "positions");
  const Tensor& table = call.float32(2, "table");
  const int64_t heads = call.integer(3, "heads", 1, INT32_MAX);
  const int64_t rotated_heads = call.integer(4, "rotatedHeads", 0, heads);
  const bool inverse = call.boolean(5, "inverse");
  call.check_rank(x, "x", 2);
  call.check_rank(table, "table", 2);
  const int64_t head_dim = table.shape[1];
  if (head_dim % 2 != 0) {
    call.fail(ErrorCode::kShapeMismatch, "table is %s, but its last dimension must be even",
              table.shape.text().c_str());
  }
  call.check_shape(x, "x", {x.shape[0], heads * head_dim});
  call.check_shape(positions, "positions", {x.shape[0]});
  call.check_indices(positions, "positions", table.shape[0]);
  Tensor y = call.output(x.dtype, x.shape);
  call.device().backend().run(RopeArgs{x.data(), y.data(), positions.as<int32_t>(), table.as<float>(), x.shape[0],
                                       heads, rotated_heads, head_dim, table.shape[0], inverse, x.dtype});
  return call.handle(std::move(y));
}

}  // namespace

const Exports kLayerExports = {
    {"embedding", embedding}, {"embeddingBackward", embedding_backward},
    {"rmsNorm", rms_norm},    {"rmsNormBackward", rms_norm_backward},
    {"rope", rope},
};

}  // namespace foretoken
