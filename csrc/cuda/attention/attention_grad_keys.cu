// The gradients of keys and values. A block holds some keys and values of one key/value head and goes through the
// queries that attend to any of them, in all query heads that share it. Scores are computed transposed, a row for each
// key.
#include "csrc/cuda/attention/attention_backward.cuh"

namespace foretoken::cuda {
namespace {

enum class Gradients { kBoth, kKeys, kValues };

// Three numbers of each passing query, loaded with its row.
template <int kPassing>
struct PassingNumbers {
  float lse[kPassing], delta[kPassing];
  int32_t starts[kPassing];
};

// Iterates over the tiles of queries that attend to a block's keys, head after head of the group.
template <int kPassing>
struct PassingQueries {
  const Extent* extents;
  int tiles, first_key, last_key;
  int64_t head;
  int tile;

  FORETOKEN_DEVICE PassingQueries(const PreparedRows& prepared, int64_t sequence, int64_t head, int first_key,
                                  int last_key)
      : extents(prepared.extents + sequence * (prepared.padded / kPassing)),
        tiles(static_cast<int>(prepared.padded / kPassing)),
        first_key(first_key),
        last_key(last_key),
        head(head),
        tile(from(first_key / kPassing)) {}

  // Every head has at least one such tile, because a row attends to itself.
  FORETOKEN_DEVICE void advance() {
    tile = from(tile + 1);
    if (tile < tiles) return;
    tile = from(first_key / kPassing);
    ++head;
  }

  // The first tile from `next` on with a query that attends to the last key or one before. All lanes search.
  FORETOKEN_DEVICE int from(int next) const {
    const int lane = threadIdx.x % kWarp;
    for (; next < tiles; next += kWarp) {
      const unsigned found = __ballot_sync(kAllLanes, next + lane < tiles && extents[next + lane].lowest <= last_key);
      if (found != 0) return next + __ffs(static_cast<int>(found)) - 1;
    }
    return tiles;
  }

  // Whether every query of the tile attends to every key of the block.
  FORETOKEN_DEVICE bool all_seen() const { return tile * kPassing >= last_key && extents[tile].highest <= first_key; }
};

template <typename T, int kDim, Gradients kGradients>
__global__ void __launch_bounds__(BackwardTiles<T, kDim>::kThreads, 1)
    grad_keys_kernel(AttentionBackwardArgs args, PreparedRows prepared, bool vectors, int blocks, int64_t first_item) {
  using Tiles = BackwardTiles<T, kDim>;
  constexpr int kKeys = Tiles::kOwned, kQueries = Tiles::kPassing, kThreads = Tiles::kThreads;
  FORETOKEN_DYNAMIC_SHARED(memory);
  const Tile<T, kDim> keys{reinterpret_cast<T*>(memory)};
  const Tile<T, kDim> values = keys.behind(kKeys), passing = values.behind(kKeys);
  auto* const numbers = reinterpret_cast<PassingNumbers<kQueries>*>(memory + Tiles::kTileBytes);

  const auto [heads, kv_heads, dim, scale, window] = args.shape;
  const Place place(first_item + blockIdx.x, kv_heads, blocks);
  const int64_t columns = heads + 2 * kv_heads, group = heads / kv_heads, end = (place.head + 1) * group;
  const int64_t key_column = heads + place.head, value_column = key_column + kv_heads;
  const auto rows_of = [&](const void* data, int64_t all, int64_t head) {
    return head_rows<const T>(data, place.sequence, args.length, all, head, dim, vectors);
  };
  // Most rows attend to the first keys, and the first blocks start first.
  const int first_key = place.block * kKeys;
  const int warp_row = static_cast<int>(threadIdx.x) / kWarp * 16;

  const auto load_queries = [&](const PassingQueries<kQueries>& next, int stage) {
    const Tile<T, kDim> queries = passing.behind(2 * stage * kQueries);
    const int first = next.tile * kQueries;
    load_rows<kQueries, kThreads>(queries, rows_of(args.qkv, columns, next.head), first);
    load_rows<kQueries, kThreads>(queries.behind(kQueries), rows_of(args.grad_out, heads, next.head), first);
    const int64_t at = (place.sequence * heads + next.head) * prepared.padded + first;
    const int i = static_cast<int>(threadIdx.x) * 4;
    if (i < kQueries) {
      ptx::cp_async_16(numbers[stage].lse + i, prepared.lse + at + i);
      ptx::cp_async_16(numbers[stage].delta + i, prepared.delta + at + i);
      ptx::cp_async_16(numbers[stage].starts + i, prepared.starts + place.sequence * prepared.padded + first + i);
    }
  };

  PassingQueries<kQueries> next(prepared, place.sequence, place.head * group, first_key, first_key + kKeys - 1);
  load_rows<kKeys, kThreads>(keys, rows_of(args.qkv, columns, key_column), first_key);
  load_rows<kKeys, kThreads>(values, rows_of(args.qkv, columns, value_column), first_key);
  load_queries(next, 0);
  ptx::cp_async_commit();

  float grad_keys[1][kDim / 8][4] = {}, grad_values[1][kDim / 8][4] = {};
  for (int stage = 0; next.head < end; stage ^= 1) {
    const bool all_seen = next.all_seen();
    const int first_query = next.tile * kQueries;
    next.advance();
    if (next.head < end) load_queries(next, stage ^ 1);
    ptx::cp_async_commit();
    ptx::cp_async_wait<1>();
    __syncthreads();

    const Tile<T, kDim> queries = passing.behind(2 * stage * kQueries), grad_out = queries.behind(kQueries);
    const PassingNumbers<kQueries>& of = numbers[stage];
    float weights[1][kQueries / 8][4] = {};
    multiply(weights, keys, warp_row, queries);
    for_each_element(weights, [&](int, int n, int e, int row, int column) {
      const int key = first_key + warp_row + row;
      const bool seen = all_seen || (key >= of.starts[column] && key <= first_query + column);
      weights[0][n][e] = seen ? exponential<T>(fmaf(weights[0][n][e], scale, -of.lse[column])) : 0.0f;
    });
    if constexpr (kGradients != Gradients::kKeys) add_weighted(grad_values, weights, grad_out);
    if constexpr (kGradients != Gradients::kValues) {
      float grads[1][kQueries / 8][4] = {};
      multiply(grads, values, warp_row, grad_out);
      for_each_element(grads, [&](int, int n, int e, int, int column) {
        grads[0][n][e] = weights[0][n][e] * (grads[0][n][e] - of.delta[column]);
      });
      add_weighted(grad_keys, grads, queries);
    }
    __syncthreads();
  }

  const auto store_head = [&](int64_t column, const auto& sums, float factor) {
    store_rows(head_rows<T>(args.grad_qkv, place.sequence, args.length, columns, column, dim, vectors),
               first_key + warp_row, sums, [&](int, int) { return factor; });
  };
  if constexpr (kGradients != Gradients::kValues) store_head(key_column, grad_keys, scale);
  if constexpr (kGradients != Gradients::kKeys) store_head(value_column, grad_values, 1.0f);
}

}  // namespace

void grad_keys(const AttentionBackwardArgs& args, const PreparedRows& prepared, const Context& context) {
  with_tiles(args, context, [&](auto element, auto columns) {
    using T = decltype(element);
    using Tiles = BackwardTiles<T, columns>;
    const int64_t blocks = divide_up(args.length, Tiles::kOwned);
    const bool vectors = are_vectors<T>(args.shape.head_dim, args.qkv, args.grad_out, args.grad_qkv);
    const auto run = [&](auto kernel) {
      launch_items(context, kernel, args.batch * args.shape.kv_heads * blocks, Tiles::kThreads,
                   Tiles::kTileBytes + 2 * sizeof(PassingNumbers<Tiles::kPassing>), args, prepared, vectors, blocks);
    };
    // A warp's registers cannot hold the sums of both for heads this wide.
    if constexpr (columns > 128) {
      run(grad_keys_kernel<T, columns, Gradients::kKeys>);
      run(grad_keys_kernel<T, columns, Gradients::kValues>);
    } else {
      run(grad_keys_kernel<T, columns, Gradients::kBoth>);
    }
  });
}

}  // namespace foretoken::cuda
