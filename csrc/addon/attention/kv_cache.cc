// The KV cache: its memory, and the operations that append keys and values of draft trees and compact the accepted ones.
#include "csrc/addon/attention/arguments.h"
#include "csrc/addon/families.h"
#include "csrc/addon/javascript.h"
#include "csrc/core/tree.h"

namespace foretoken {

namespace {

// Bounds grids that have blocks for each sequence.
constexpr int64_t kMostSequences = int64_t{1} << 16;

// kvCache(device, layers, kvHeads, headDim, capacity, sequences, dtype): cache
napi_value kv_cache(Call& call) {
  const std::shared_ptr<Device> device = call.device_argument();
  call.check_not_capturing(*device);
  KvCacheSizes sizes{};
  sizes.layers = call.integer("layers", 0, INT32_MAX);
  sizes.kv_heads = call.integer("kvHeads", 1, INT32_MAX);
  sizes.head_dim = call.integer("headDim", 1, INT32_MAX);
  sizes.capacity = call.integer("capacity", 1, INT32_MAX);
  sizes.sequences = call.integer("sequences", 1, kMostSequences);
  sizes.dtype = call.activation_dtype("dtype", *device);
  if (call.environment().kv_caches.full()) call.fail(ErrorCode::kOutOfMemory, "too many live caches");
  const int64_t handle = call.environment().kv_caches.insert(std::make_shared<KvCache>(device, sizes, call.op()));
  call.environment().report_memory();
  return Napi::Number::New(call.env(), static_cast<double>(handle));
}

// kvReserve(cache, sequence, positions): the number of positions that the sequence now has room for
napi_value kv_reserve(Call& call) {
  KvCache& cache = call.kv_cache();
  call.check_not_capturing(call.device());
  const int64_t sequence = call.integer("sequence", 0, cache.sizes().sequences - 1);
  cache.reserve(sequence, call.integer("positions", 0, cache.sizes().capacity), call.op());
  call.environment().report_memory();
  return Napi::Number::New(call.env(), cache.reserved()[static_cast<size_t>(sequence)]);
}

// kvRelease(cache, sequence): returns the pages of a sequence to the pool
napi_value kv_release(Call& call) {
  KvCache& cache = call.kv_cache();
  call.check_not_capturing(call.device());
  cache.release(call.integer("sequence", 0, cache.sizes().sequences - 1));
  return call.nothing();
}

// kvBytes(cache): bytes of all pages, in use or free
napi_value kv_bytes(Call& call) { return Napi::Number::New(call.env(), static_cast<double>(call.kv_cache().bytes())); }

// kvPage(cache, sequence, page): one page, [layers, 2, kvHeads, positions of a page, headDim], for tests
napi_value kv_page(Call& call) {
  const KvCache& cache = call.kv_cache();
  const int64_t sequence = call.integer("sequence", 0, cache.sizes().sequences - 1);
  Tensor page = cache.page(sequence, call.integer("page", 0, cache.pages_of(sequence) - 1));
  return call.handle(std::move(page));
}

// disposeKvCache(cache)
napi_value dispose_kv_cache(Call& call) {
  if (!call.environment().kv_caches.erase(call.integer("cache"))) {
    call.fail(ErrorCode::kInvalidHandle, "cache was disposed or is not a cache");
  }
  call.environment().report_memory();
  return call.nothing();
}

// kvAppend(cache, layer, qkv, heads, rowOffsets, lengths, parents): writes into the cache
napi_value kv_append(Call& call) {
  const KvCache& cache = call.kv_cache();
  const auto& [layers, kv_heads, head_dim, capacity, sequences, dtype] = cache.sizes();
  const int64_t layer = call.integer("layer", 0, layers - 1);
  const Tensor& qkv = call.activations("qkv");
  const int64_t heads = call.integer("heads", 1);
  check_qkv(call, qkv, {heads, kv_heads, head_dim, 1, 1});
  const TreeRows tree = tree_rows(call, qkv.shape[0], cache);
  call.device().backend().run(KvAppendArgs{qkv.data(), heads, cache.view(), layer, tree});
  return call.nothing();
}

// kvCompact(cache, rowOffsets, lengths, path, counts): moves accepted rows within the cache
napi_value kv_compact(Call& call) {
  const KvCache& cache = call.kv_cache();
  const Tensor& row_offsets = call.int32("rowOffsets");
  const Tensor& lengths = call.int32("lengths");
  const int64_t sequences = first_sequences(call, lengths, "lengths", cache.sizes().sequences);
  const Tensor& path = call.int32("path");
  const Tensor& counts = call.int32("counts");
  call.check_shape(row_offsets, "rowOffsets", {sequences + 1});
  call.check_rank(path, "path", 2);
  const int64_t path_stride = path.shape[1];
  call.check_shape(path, "path", {sequences, path_stride});
  call.check_shape(counts, "counts", {sequences});
  KvCacheView checked = cache.checked_view(), view = cache.view();
  checked.sequences = view.sequences = sequences;
  IndexProblem problem;
  if (find_problem(KvCompactArgs{checked, row_offsets.known_indices(), lengths.known_indices(), path.known_indices(),
                                 counts.known_indices(), path_stride},
                   &problem)) {
    call.fail(ErrorCode::kIndexOutOfRange, "%s", text_of(problem).c_str());
  }
  call.device().backend().run(KvCompactArgs{view, row_offsets.as<int32_t>(), lengths.as<int32_t>(), path.as<int32_t>(),
                                            counts.as<int32_t>(), path_stride});
  return call.nothing();
}

}  // namespace

const Exports kKvCacheExports = {
    {"kvCache", kv_cache},   {"kvReserve", kv_reserve}, {"kvRelease", kv_release},
    {"kvBytes", kv_bytes},   {"kvPage", kv_page},       {"disposeKvCache", dispose_kv_cache},
    {"kvAppend", kv_append}, {"kvCompact", kv_compact},
};

}  // namespace foretoken
