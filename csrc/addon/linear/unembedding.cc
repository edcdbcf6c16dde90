#include "csrc/addon/linear/unembedding.h"

namespace foretoken {

float softcap_argument(Call& call) {
  constexpr float kLargest = 1e30F;
  return call.ranged("softcap", 0, kLargest);
}

void check_vocab(const Call& call, const Tensor& tensor, const char* name, int64_t vocab) {
  if (vocab >= 1 && vocab <= INT32_MAX) return;
  call.fail(ErrorCode::kShapeMismatch, "%s is %s, but the vocabulary must have 1 … %d tokens", name,
            tensor.shape.text().c_str(), INT32_MAX);
}

UnembeddingShape unembedding_shape(const Call& call, const Tensor& hidden, const Tensor& weight, const Tensor* bias) {
  call.check_rank(hidden, "hidden", 2);
  call.check_rank(weight, "weight", 2);
  if (hidden.shape[1] != weight.shape[1]) {
    call.fail(ErrorCode::kShapeMismatch, "hidden is %s but weight is %s; the last dimensions must match",
              hidden.shape.text().c_str(), weight.shape.text().c_str());
  }
  check_vocab(call, weight, "weight", weight.shape[0]);
  if (bias != nullptr) call.check_shape(*bias, "bias", {weight.shape[0]});
  return {hidden.shape[0], weight.shape[1], weight.shape[0]};
}

}  // namespace foretoken
