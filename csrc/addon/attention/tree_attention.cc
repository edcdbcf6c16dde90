// Attention of decoding: the nodes of draft trees over the KV cache.
#include "csrc/addon/attention/arguments.h"
#include "csrc/addon/families.h"

namespace foretoken {

namespace {

// treeAttention(cache, layer, qkv, heads, kvHeads, headDim, scale, rowOffsets, lengths, parents): out
napi_value tree_attention(Call& call) {
  const KvCacheView cache = cache_view(call);
  const int64_t layer = call.integer("layer", 0, cache.layers - 1);
  const Tensor& qkv = call.activations("qkv");
  const AttentionShape shape = attention_shape(call);
  check_qkv(call, qkv, shape);
  if (shape.kv_heads != cache.kv_heads || shape.head_dim != cache.head_dim) {
    call.fail(ErrorCode::kShapeMismatch,
              "cache has %lld heads of %lld dimensions, but kvHeads is %lld and headDim is %lld", lld(cache.kv_heads),
              lld(cache.head_dim), lld(shape.kv_heads), lld(shape.head_dim));
  }
  const int64_t rows = qkv.shape[0];
  const TreeRows tree = tree_rows(call, rows, cache);
  Tensor out = call.output(qkv.dtype, {rows, shape.heads * shape.head_dim});
  run_with_workspace(call.device(), TreeAttentionArgs{qkv.data(), cache, layer, tree, out.data(), shape, {}},
                     call.op());
  return call.handle(std::move(out));
}

}  // namespace

const Exports kTreeAttentionExports = {{"treeAttention", tree_attention}};

}  // namespace foretoken
