#include "csrc/addon/families.h"

namespace foretoken {

namespace {

// topK(x, k): [indices, values], both [..., k]
napi_value top_k(Call& call) {
  const Tensor& x = call.float32("x");
  call.check_rank(x, "x", 1, kMaxRank);
  const int64_t cols = x.shape[-1];
  if (cols > INT32_MAX) {
    call.fail(ErrorCode::kShapeMismatch, "x has %lld columns, but at most %d are allowed", lld(cols), INT32_MAX);
  }
  const int64_t k = call.integer("k", 0, cols);
  Tensor indices = call.output(DType::kInt32, x.shape.with_last(k));
  Tensor values = call.output(DType::kFloat32, x.shape.with_last(k));
  if (k > 0) {
    run_with_workspace(call.device(),
                       TopKArgs{x.as<float>(), indices.as<int32_t>(), values.as<float>(), x.shape.rows(), cols, k, {}},
                       call.op());
  }
  return call.handles({std::move(indices), std::move(values)});
}

}  // namespace

const Exports kTopKExports = {{"topK", top_k}};

}  // namespace foretoken
