#include "csrc/addon/families.h"

namespace foretoken {

namespace {

// embedding(tokens, weight, outDtype?): outDtype defaults to float32
napi_value embedding(Call& call) {
  const Tensor& tokens = call.int32("tokens");
  const Tensor& weight = call.weight("weight");
  if (weight.layout == Layout::kPanels) {
    call.fail(ErrorCode::kUnsupported, "weight is packed without a dtype, but must be unpacked or packed with one");
  }
  call.check_rank(weight, "weight", 2);
  call.check_rank(tokens, "tokens", 0, kMaxRank - 1);
  call.check_indices(tokens, "tokens", weight.shape[0]);
  Shape shape = tokens.shape;
  shape.dims[shape.rank++] = weight.shape[1];
  Tensor out = call.output(call.activation_dtype("outDtype", DType::kFloat32), shape);
  call.device().backend().run(EmbeddingArgs{tokens.as<int32_t>(), weight.matrix(), out.data(), tokens.shape.count(),
                                            weight.shape[0], weight.shape[1], out.dtype});
  return call.handle(std::move(out));
}

// embeddingBackward(tokens, gradOut, gradWeight): adds to gradWeight
napi_value embedding_backward(Call& call) {
  const Tensor& tokens = call.int32("tokens");
  const Tensor& grad_out = call.activations("gradOut");
  Tensor& grad_weight = call.float32("gradWeight");
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

}  // namespace

const Exports kEmbeddingExports = {{"embedding", embedding}, {"embeddingBackward", embedding_backward}};

}  // namespace foretoken
