// The gradient of queries. A block holds the queries of some rows of one head and goes through the keys that any of
// them attends to.
#include "csrc/cuda/attention/attention_backward.cuh"

namespace foretoken::cuda {
namespace {

template <typename T, int kDim>
__global__ void __launch_bounds__(BackwardTiles<T, kDim>::kThreads, 1)
    grad_queries_kernel(AttentionBackwardArgs args, PreparedRows prepared, bool vectors, int blocks, Reporter reporter,
                        int64_t first_item) {
  using Tiles = BackwardTiles<T, kDim>;
  constexpr int kQueries = Tiles::kOwned, kKeys = Tiles::kPassing, kThreads = Tiles::kThreads;
  FORETOKEN_DYNAMIC_SHARED(memory);
  const Tile<T, kDim> queries{reinterpret_cast<T*>(memory)};
  const Tile<T, kDim> grad_out = queries.behind(kQueries), passing = grad_out.behind(kQueries);

  const auto [heads, kv_heads, dim, scale, window] = args.shape;
  const Place place(first_item + blockIdx.x, heads, blocks);
  const int64_t columns = heads + 2 * kv_heads, kv_head = place.head / (heads / kv_heads);
  const auto rows_of = [&](const void* data, int64_t all, int64_t head) {
    return head_rows<const T>(data, place.sequence, args.length, all, head, dim, vectors);
  };
  const HeadRows<const T> key_rows = rows_of(args.qkv, columns, heads + kv_head);
  const HeadRows<const T> value_rows = rows_of(args.qkv, columns, heads + kv_heads + kv_head);

  // The last rows attend to most keys, so their blocks start first.
  const int first_query = (blocks - 1 - place.block) * kQueries;
  const int warp_row = static_cast<int>(threadIdx.x) / kWarp * 16, lane = threadIdx.x % kWarp;
  const Starts starts(args, place.sequence, reporter);
  const Extent extent = extent_of(starts, first_query, kQueries);
  int start[2];
  float lse[2], delta[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = first_query + warp_row + 8 * half + lane / 4;
    const int64_t at = (place.sequence * heads + place.head) * prepared.padded + row;
    start[half] = starts.at(row);
    lse[half] = row < starts.length ? prepared.lse[at] : INFINITY;
    delta[half] = row < starts.length ? prepared.delta[at] : 0.0f;
  }

  const int first_key = extent.lowest / kKeys * kKeys, end = min(first_query + kQueries, starts.length);
  const auto load_keys = [&](int key, int stage) {
    const Tile<T, kDim> keys = passing.behind(2 * stage * kKeys);
    load_rows<kKeys, kThreads>(keys, key_rows, key);
    load_rows<kKeys, kThreads>(keys.behind(kKeys), value_rows, key);
  };
  load_rows<kQueries, kThreads>(queries, rows_of(args.qkv, columns, place.head), first_query);
  load_rows<kQueries, kThreads>(grad_out, rows_of(args.grad_out, heads, place.head), first_query);
  load_keys(first_key, 0);
  ptx::cp_async_commit();

  float sums[1][kDim / 8][4] = {};
  for (int key = first_key, stage = 0; key < end; key += kKeys, stage ^= 1) {
    if (key + kKeys < end) load_keys(key + kKeys, stage ^ 1);
    ptx::cp_async_commit();
    ptx::cp_async_wait<1>();
    __syncthreads();

    const Tile<T, kDim> keys = passing.behind(2 * stage * kKeys);
    float weights[1][kKeys / 8][4] = {}, grads[1][kKeys / 8][4] = {};
    multiply(weights, queries, warp_row, keys);
    multiply(grads, grad_out, warp_row, keys.behind(kKeys));
    const bool all_seen = key >= extent.highest && key + kKeys - 1 <= first_query;
    for_each_element(grads, [&](int, int n, int e, int row, int column) {
      const bool seen = all_seen || (key + column >= start[e / 2] && key + column <= first_query + warp_row + row);
      const float weight = seen ? exponential<T>(fmaf(weights[0][n][e], scale, -lse[e / 2])) : 0.0f;
      grads[0][n][e] = weight * (grads[0][n][e] - delta[e / 2]);
    });
    add_weighted(sums, grads, keys);
    __syncthreads();
  }
  store_rows(head_rows<T>(args.grad_qkv, place.sequence, args.length, columns, place.head, dim, vectors),
             first_query + warp_row, sums, [&](int, int) { return scale; });
}

}  // namespace

void grad_queries(const AttentionBackwardArgs& args, const PreparedRows& prepared, const Context& context) {
  with_tiles(args, context, [&](auto element, auto columns) {
    using T = decltype(element);
    using Tiles = BackwardTiles<T, columns>;
    const int64_t blocks = divide_up(args.length, Tiles::kOwned);
    launch_items(context, grad_queries_kernel<T, columns>, args.batch * args.shape.heads * blocks, Tiles::kThreads,
                 Tiles::kTileBytes, args, prepared,
                 are_vectors<T>(args.shape.head_dim, args.qkv, args.grad_out, args.grad_qkv), blocks,
                 context.reporter());
  });
}

}  // namespace foretoken::cuda
