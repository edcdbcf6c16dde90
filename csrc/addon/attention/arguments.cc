#include "csrc/addon/attention/arguments.h"

#include "csrc/core/tree.h"

namespace foretoken {

AttentionShape attention_shape(Call& call) {
  AttentionShape shape;
  shape.heads = call.integer("heads", 1);
  shape.kv_heads = call.integer("kvHeads", 1);
  shape.head_dim = call.integer("headDim", 1);
  shape.scale = call.finite("scale");
  shape.window = static_cast<int32_t>(call.integer("window", 1, INT32_MAX));
  if (shape.heads % shape.kv_heads != 0) {
    call.fail(ErrorCode::kInvalidArgument, "heads must be a multiple of kvHeads, but they are %lld and %lld",
              lld(shape.heads), lld(shape.kv_heads));
  }
  return shape;
}

void check_qkv(const Call& call, const Tensor& qkv, const AttentionShape& shape) {
  call.check_rank(qkv, "qkv", 2);
  // Compares quotients, because products of arguments from JavaScript may overflow.
  const int64_t columns = qkv.shape[1];
  const bool matches = shape.heads <= columns && shape.kv_heads <= columns && columns % shape.head_dim == 0 &&
                       columns / shape.head_dim == shape.heads + 2 * shape.kv_heads;
  if (matches) return;
  call.fail(ErrorCode::kShapeMismatch,
            "qkv is %s, but its rows must hold %lld query, %lld key and %lld value heads of %lld dimensions",
            qkv.shape.text().c_str(), lld(shape.heads), lld(shape.kv_heads), lld(shape.kv_heads), lld(shape.head_dim));
}

int64_t first_sequences(const Call& call, const Tensor& tensor, const char* name, int64_t most) {
  call.check_rank(tensor, name, 1);
  const int64_t sequences = tensor.shape[0];
  if (sequences < 1 || sequences > most) {
    call.fail(ErrorCode::kShapeMismatch,
              "%s is %s, but must have 1 … %lld elements, one for each of the first sequences", name,
              tensor.shape.text().c_str(), lld(most));
  }
  return sequences;
}

TreeRows tree_rows(Call& call, int64_t rows, const KvCache& cache) {
  const Tensor& row_offsets = call.int32("rowOffsets");
  const Tensor& lengths = call.int32("lengths");
  const Tensor& parents = call.int32("parents");
  const int64_t sequences = first_sequences(call, lengths, "lengths", cache.sizes().sequences);
  call.check_shape(row_offsets, "rowOffsets", {sequences + 1});
  call.check_shape(parents, "parents", {rows});
  IndexProblem problem;
  const TreeRows known = {row_offsets.known_indices(), lengths.known_indices(), parents.known_indices(), rows,
                          sequences};
  if (find_problem(known, {cache.reserved().data()}, &problem)) {
    call.fail(ErrorCode::kIndexOutOfRange, "%s", text_of(problem).c_str());
  }
  return {row_offsets.as<int32_t>(), lengths.as<int32_t>(), parents.as<int32_t>(), rows, sequences};
}

}  // namespace foretoken
