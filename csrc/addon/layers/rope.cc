#include "csrc/addon/families.h"

namespace foretoken {

namespace {

// rope(x, positions, table, heads, rotatedHeads, inverse)
napi_value rope(Call& call) {
  const Tensor& x = call.activations("x");
  const Tensor& positions = call.int32("positions");
  const Tensor& table = call.float32("table");
  const int64_t heads = call.integer("heads", 1, INT32_MAX);
  const int64_t rotated_heads = call.integer("rotatedHeads", 0, heads);
  const bool inverse = call.boolean("inverse");
  call.check_rank(x, "x", 2);
  call.check_rank(table, "table", 2);
  if (x.shape[1] % heads != 0) {
    call.fail(ErrorCode::kShapeMismatch, "x is %s, but its last dimension must be a multiple of heads, which is %lld",
              x.shape.text().c_str(), lld(heads));
  }
  const int64_t head_dim = x.shape[1] / heads, rotated_dim = table.shape[1];
  if (rotated_dim % 2 != 0 || rotated_dim > head_dim) {
    call.fail(ErrorCode::kShapeMismatch,
              "table is %s, but its last dimension must be even and at most that of a head, %lld",
              table.shape.text().c_str(), lld(head_dim));
  }
  call.check_shape(positions, "positions", {x.shape[0]});
  call.check_indices(positions, "positions", table.shape[0]);
  Tensor y = call.output(x.dtype, x.shape);
  call.device().backend().run(RopeArgs{x.data(), y.data(), positions.as<int32_t>(), table.as<float>(), x.shape[0],
                                       heads, rotated_heads, head_dim, rotated_dim, table.shape[0], inverse, x.dtype});
  return call.handle(std::move(y));
}

}  // namespace

const Exports kRopeExports = {{"rope", rope}};

}  // namespace foretoken
