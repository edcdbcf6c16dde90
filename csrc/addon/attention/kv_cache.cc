// The KV cache: appends keys and values of draft trees, and compacts the accepted ones.
#include "csrc/addon/attention/arguments.h"
#include "csrc/addon/families.h"
#include "csrc/core/tree.h"

namespace foretoken {

namespace {

// kvAppend(cache, layer, qkv, heads, rowOffsets, lengths, parents): writes into the cache
napi_value kv_append(Call& call) {
  const KvCacheView cache = cache_view(call);
  const int64_t layer = call.integer("layer", 0, cache.layers - 1);
  const Tensor& qkv = call.activations("qkv");
  const int64_t heads = call.integer("heads", 1);
  check_qkv(call, qkv, {heads, cache.kv_heads, cache.head_dim, 1});
  const TreeRows tree = tree_rows(call, qkv.shape[0], cache);
  call.device().backend().run(KvAppendArgs{qkv.data(), heads, cache, layer, tree});
  return call.nothing();
}

// kvCompact(cache, rowOffsets, lengths, path, counts): moves accepted rows within the cache
napi_value kv_compact(Call& call) {
  const KvCacheView cache = cache_view(call);
  const Tensor& row_offsets = call.int32("rowOffsets");
  const Tensor& lengths = call.int32("lengths");
  const Tensor& path = call.int32("path");
  const Tensor& counts = call.int32("counts");
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

const Exports kKvCacheExports = {{"kvAppend", kv_append}, {"kvCompact", kv_compact}};

}  // namespace foretoken
