// Attention: of training over packed rows, and of decoding over the KV cache; the cache's own ops.
#include "csrc/addon/families.h"
#include "csrc/core/tree.h"

namespace foretoken {

namespace {

AttentionShape attention_shape(const Call& call, size_t index) {
  AttentionShape shape;
  shape.heads = call.integer(index, "heads", 1);
  shape.kv_heads = call.integer(index + 1, "kvHeads", 1);
  shape.head_dim = call.integer(index + 2, "headDim", 1);
  shape.scale = call.finite(index + 3, "scale");
  if (shape.heads % shape.kv_heads != 0) {
    call.fail(ErrorCode::kInvalidArgument, "heads must be a multiple of kvHeads, but they are %lld and %lld",
              static_cast<long long>(shape.heads), static_cast<long long>(shape.kv_heads));
  }
  return shape;
}

void check_qkv(const Call& call, const Tensor& qkv, const AttentionShape& shape) {
  call.check_rank(qkv, "qkv", 2);
  // Compared as quotients: the product of what JavaScript gives may not fit in an integer.
  const int64_t columns = qkv.shape[1];
  const bool matches = shape.heads <= columns && shape.kv_heads <= columns && columns % shape.head_dim == 0 &&
                       columns / shape.head_dim == shape.heads + 2 * shape.kv_heads;
  if (matches) return;
  call.fail(ErrorCode::kShapeMismatch,
            "qkv is %s, but its rows must hold %lld query, %lld key and %lld value heads of %lld dimensions",
            qkv.shape.text().c_str(), static_cast<long long>(shape.heads), static_cast<long long>(shape.kv_heads),
            static_cast<long long>(shape.kv_heads), static_cast<long long>(shape.head_dim));
}

struct PackedRows {
  int64_t batch, length;
};

PackedRows packed_rows(const Call& call, const Tensor& qkv, const Tensor& starts, int64_t batch) {
  const int64_t rows = qkv.shape[0];
  if (rows % batch != 0) {
    call.fail(ErrorCode::kShapeMismatch, "qkv is %s, but its rows must be a multiple of batch, which is %lld",
              qkv.shape.text().c_str(), static_cast<long long>(batch));
  }
  call.check_shape(starts, "starts", {rows});
  const int64_t length = rows / batch;
  if (const int32_t* const values = starts.known_indices()) {
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t t = i % length;
      if (values[i] >= 0 && values[i] <= t) continue;
      call.fail(ErrorCode::kIndexOutOfRange, "starts[%lld] is %d, but must be in 0 … %lld", static_cast<long long>(i),
                values[i], static_cast<long long>(t));
    }
  }
  return {batch, length};
}

// attention(qkv, starts, batch, heads, kvHeads, headDim, scale): [out, lse]
napi_value attention(Call& call) {
  const Tensor& qkv = call.activations(0, "qkv");
  const Tensor& starts = call.int32(1, "starts");
  const int64_t given_batch = call.integer(2, "batch", 1);
  const AttentionShape shape = attention_shape(call, 3);
  check_qkv(call, qkv, shape);
  const auto [batch, length] = packed_rows(call, qkv, starts, given_batch);
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

// attentionBackward(gradOut, qkv, starts, out, lse, batch, heads, kvHeads, headDim, scale): gradQkv
napi_value attention_backward(Call& call) {
  const Tensor& grad_out = call.activations(0, "gradOut");
  const Tensor& qkv = call.activations(1, "qkv");
  const Tensor& starts = call.int32(2, "starts");
  const Tensor& out = call.activations(3, "out");
  const Tensor& lse = call.float32(4, "lse");
  const int64_t given_batch = call.integer(5, "batch", 1);
  const AttentionShape shape = attention_shape(call, 6);
  check_qkv(call, qkv, shape);
  const auto [batch, length] = packed_rows(call, qkv, starts, given_batch);
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

KvCacheView cache_view(Call& call, size_t index) {
  const Tensor& cache = call.activations(index, "cache");
  if (cache.shape.rank != 6 || cache.shape[1] != 2) {
    call.fail(ErrorCode::kShapeMismatch, "cache is %s, but must be [layers, 2, sequences, kvHeads, capacity, headDim]",
              cache.shape.text().c_str());
  }
  if (cache.shape.count() == 0) {
    call.fail(ErrorCode::kShapeMismatch, "cache is %s, but must have no empty dimension", cache.shape.text().c_str());
  }
  return {cache.data(), cache.shape[0], cache.shape[2], cache.shape[3], cache.shape[4], cache.shape[5], cache.dtype};
}

// rowOffsets, lengths and parents, from `index` on
TreeRows tree_rows(Call& call, size_t index, int64_t rows, const KvCacheView& cache) {
  const Tensor& row_offsets = call.int32(index, "rowOffsets");
  const Tensor& lengths = call.int32(index + 1, "lengths");
  const Tensor& parents = call.int32(index + 2, "parents");
  call.check_shape(row_offsets, "rowOffsets", {cache.sequences + 1});
  call.check_shape(lengths, "lengths", {cache.sequences});
  call.check_shape(parents, "parents", {rows});
  IndexProblem problem;
  if (find_problem(TreeRows{row_offsets.known_indices(), lengths.known_indices(), parents.known_indices(), rows,
                            cache.sequences},
                   cache.capacity, &problem)) {
    call.fail(ErrorCode::kIndexOutOfRange, "%s", text_of(problem).c_str());
  }
  return {row_offsets.as<int32_t>(), lengths.as<int32_t>(), parents.as<int32_t>(), rows, cache.sequences};
}

// kvAppend(cache, layer, qkv, rowOffsets, lengths, parents, heads): writes into the cache
napi_value kv_append(Call& call) {
  const KvCacheView cache = cache_view(call, 0);
  const int64_t layer = call.integer(1, "layer", 0, cache.layers - 1);
  const Tensor& qkv = call.activations(2, "qkv");
  const int64_t heads = call.integer(6, "heads", 1);
  check_qkv(call, qkv, {heads, cache.kv_heads, cache.head_dim, 1});
  const TreeRows tree = tree_rows(call, 3, qkv.shape[0], cache);
  call.device().backend().run(KvAppendArgs{qkv.data(), heads, cache, layer, tree});
  return call.nothing();
}

// treeAttention(cache, layer, qkv, rowOffsets, lengths, parents, heads, kvHeads, headDim, scale): out
napi_value tree_attention(Call& call) {
  const KvCacheView cache = cache_view(call, 0);
  const int64_t layer = call.integer(1, "layer", 0, cache.layers - 1);
  const Tensor& qkv = call.activations(2, "qkv");
  const AttentionShape shape = attention_shape(call, 6);
  check_qkv(call, qkv, shape);
  if (shape.kv_heads != cache.kv_heads || shape.head_dim != cache.head_dim) {
    call.fail(ErrorCode::kShapeMismatch,
              "cache has %lld heads of %lld dimensions, but kvHeads is %lld and headDim %lld",
              static_cast<long long>(cache.kv_heads), static_cast<long long>(cache.head_dim),
              static_cast<long long>(shape.kv_heads), static_cast<long long>(shape.head_dim));
  }
  const int64_t rows = qkv.shape[0];
  const TreeRows tree = tree_rows(call, 3, rows, cache);
  Tensor out = call.output(qkv.dtype, {rows, shape.heads * shape.head_dim});
  run_with_workspace(call.device(), TreeAttentionArgs{qkv.data(), cache, layer, tree, out.data(), shape, {}},
                     call.op());
  return call.handle(std::move(out));
}

// kvCompact(cache, rowOffsets, lengths, path, counts): moves accepted rows within the cache
napi_value kv_compact(Call& call) {
  const KvCacheView cache = cache_view(call, 0);
  const Tensor& row_offsets = call.int32(1, "rowOffsets");
  const Tensor& lengths = call.int32(2, "lengths");
  const Tensor& path = call.int32(3, "path");
  const Tensor& counts = call.int32(4, "counts");
  call.check_shape(row_offsets, "rowOffsets", {cache.sequences + 1});
  call.check_shape(lengths, "lengths", {cache.sequences});
  call.check_rank(path, "path", 2);
  const int64_t path_stride = path.shape[1];
  call.check_shape(path, "path", {cache.sequences, path_stride});
  call.check_shape(counts, "counts", {cache.sequences});
  IndexProblem problem;
  if (find_problem(KvCompactArgs{cache, row_offsets.known_indices(), lengths.known_indices(), path.known_indices(),
                                 counts.known_indices(), path_stride},
                   &problem)) {
    call.fail(ErrorCode::kIndexOutOfRange, "%s", text_of(problem).c_str());
  }
  call.device().backend().run(KvCompactArgs{cache, row_offsets.as<int32_t>(), lengths.as<int32_t>(), path.as<int32_t>(),
                                            counts.as<int32_t>(), path_stride});
  return call.nothing();
}

}  // namespace

const Exports kAttentionExports = {
    {"attention", attention},  {"attentionBackward", attention_backward},
    {"kvAppend", kv_append},   {"treeAttention", tree_attention},
    {"kvCompact", kv_compact},
};

}  // namespace foretoken
