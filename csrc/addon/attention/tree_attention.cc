// Attention of decoding: the nodes of draft trees over the KV cache.
#include "csrc/addon/attention/arguments.h"
#include "csrc/addon/families.h"

namespace foretoken {

namespace {

// treeAttention(cache, layer, qkv, heads, kvHeads, headDim, scale, window, rowOffsets, lengths, parents): out
napi_value tree_attention(Call& call) {
  const KvCache& cache = call.kv_cache();
  const int64_t layer = call.integer("layer", 0, cache.sizes().layers - 1);
  const Tensor& qkv = call.activations("qkv");
  const AttentionShape shape = attention_shape(call);
  check_qkv(call, qkv, shape);
  const auto [kv_heads, head_dim] = std::pair(cache.sizes().kv_heads, cache.sizes().head_dim);
  if (shape.kv_heads != kv_heads || shape.head_dim != head_dim) {
    call.fail(ErrorCode::kShapeMismatch,
              "cache has %lld heads of %lld dimensions, but kvHeads is %lld and headDim is %lld", lld(kv_heads),
              lld(head_dim), lld(shape.kv_heads), lld(shape.head_dim));
  }
  const int64_t rows = qkv.shape[0];
  const TreeRows tree = tree_rows(call, rows, cache);
  Tensor out = call.output(qkv.dtype, {rows, shape.heads * shape.head_dim});
  run_with_workspace(call.device(), TreeAttentionArgs{qkv.data(), cache.view(), layer, tree, out.data(), shape, {}},
                     call.op());
  return call.handle(std::move(out));
}

}  // namespace

const Exports kTreeAttentionExports = {{"treeAttention", tree_attention}};

}  // namespace foretoken
