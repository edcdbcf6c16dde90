// Causal self-attention of training, over rows packed with documents (Dao et al., FlashAttention, 2022). Fuses the
// scores, the mask of documents, the softmax and the sums of values; neither scores nor weights exist in memory. A
// block holds the queries of some rows of one head and goes through the keys that any of them attends to, tile by tile.
#include "csrc/cuda/attention/attention.cuh"

#include "csrc/cuda/kernels.h"

namespace foretoken::cuda {
namespace {

// The number of rows that a block works on: as many as fit into registers and into the shared memory of every GPU (99
// KiB).
template <typename T, int kDim>
struct ForwardTiles {
  static constexpr int kRowBytes = kDim * static_cast<int>(sizeof(T));
  static constexpr int kWarps = kRowBytes > 512 ? 2 : 4, kThreads = kWarps * kWarp;
  // With two row tiles, a warp reads half as much from shared memory for each product.
  static constexpr int kRowTiles = sizeof(T) == 2 && kDim <= 64 ? 2 : 1;
  static constexpr int kQueries = kWarps * kRowTiles * 16;
  static constexpr int kKeys = kRowBytes < 512 ? 64 : 32;
  static constexpr int kSharedBytes = (kQueries + 2 * kKeys) * kRowBytes;
};

// The running softmax of a warp's rows. Each lane sums only the weights that it holds itself.
template <int kRowTiles>
struct Softmax {
  float largest[kRowTiles][2], sums[kRowTiles][2];

  FORETOKEN_DEVICE Softmax() {
#pragma unroll
    for (int i = 0; i < kRowTiles; ++i) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        largest[i][half] = -INFINITY;
        sums[i][half] = 0.0f;
      }
    }
  }

  // Turns scores into weights relative to the largest score so far, and rescales the weighted sums to match. Scores of
  // -∞ change no bit of either.
  template <typename T, int kColumnTiles, int kOutTiles>
  FORETOKEN_DEVICE void step(float (&scores)[kRowTiles][kColumnTiles][4], float (&out)[kRowTiles][kOutTiles][4]) {
#pragma unroll
    for (int i = 0; i < kRowTiles; ++i) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float top = largest[i][half];
#pragma unroll
        for (int n = 0; n < kColumnTiles; ++n) {
          top = fmaxf(top, fmaxf(scores[i][n][2 * half], scores[i][n][2 * half + 1]));
        }
        top = reduce_quad(top, Max());
        const float shift = top == -INFINITY ? 0.0f : top;
        const float factor = exponential<T>(largest[i][half] - shift);
        largest[i][half] = top;
        float sum = 0.0f;
#pragma unroll
        for (int n = 0; n < kColumnTiles; ++n) {
#pragma unroll
          for (int e = 2 * half; e < 2 * half + 2; ++e) {
            scores[i][n][e] = exponential<T>(scores[i][n][e] - shift);
            sum += scores[i][n][e];
          }
        }
        sums[i][half] = fmaf(sums[i][half], factor, sum);
#pragma unroll
        for (int n = 0; n < kOutTiles; ++n) {
          out[i][n][2 * half] *= factor;
          out[i][n][2 * half + 1] *= factor;
        }
      }
    }
  }
};

template <typename T, int kDim>
__global__ void __launch_bounds__(ForwardTiles<T, kDim>::kThreads, 1)
    forward_kernel(AttentionArgs args, bool vectors, int blocks, Reporter reporter, int64_t first_item) {
  using Tiles = ForwardTiles<T, kDim>;
  constexpr int kRowTiles = Tiles::kRowTiles, kKeys = Tiles::kKeys, kThreads = Tiles::kThreads;
  FORETOKEN_DYNAMIC_SHARED(memory);
  const Tile<T, kDim> queries{reinterpret_cast<T*>(memory)};
  const Tile<T, kDim> keys = queries.behind(Tiles::kQueries), values = keys.behind(kKeys);

  const auto [heads, kv_heads, dim, scale, window] = args.shape;
  const Place place(first_item + blockIdx.x, heads, blocks);
  const auto rows_of = [&](int64_t head) {
    return head_rows<const T>(args.qkv, place.sequence, args.length, heads + 2 * kv_heads, head, dim, vectors);
  };
  const int64_t kv_head = place.head / (heads / kv_heads);
  const HeadRows<const T> key_rows = rows_of(heads + kv_head), value_rows = rows_of(heads + kv_heads + kv_head);

  // The last rows attend to most keys, so their blocks start first.
  const int first_query = (blocks - 1 - place.block) * Tiles::kQueries;
  const int warp_row = static_cast<int>(threadIdx.x) / kWarp * kRowTiles * 16, lane = threadIdx.x % kWarp;
  const int first_row = first_query + warp_row;
  const Starts starts(args, place.sequence, reporter);
  const Extent extent = extent_of(starts, first_query, Tiles::kQueries);
  int start[kRowTiles][2];
#pragma unroll
  for (int i = 0; i < kRowTiles; ++i) {
#pragma unroll
    for (int half = 0; half < 2; ++half) start[i][half] = starts.at(first_row + 16 * i + 8 * half + lane / 4);
  }

  const int first_key = extent.lowest / kKeys * kKeys, end = min(first_query + Tiles::kQueries, starts.length);
  load_rows<Tiles::kQueries, kThreads>(queries, rows_of(place.head), first_query);
  load_rows<kKeys, kThreads>(keys, key_rows, first_key);
  ptx::cp_async_commit();

  float out[kRowTiles][kDim / 8][4] = {};
  Softmax<kRowTiles> softmax;
  // Values are loaded while scores are computed, and the next keys while values are added.
  for (int key = first_key; key < end; key += kKeys) {
    ptx::cp_async_wait<0>();
    __syncthreads();
    load_rows<kKeys, kThreads>(values, value_rows, key);
    ptx::cp_async_commit();

    float weights[kRowTiles][kKeys / 8][4] = {};
    multiply(weights, queries, warp_row, keys);
    for_each_element(weights, [&](int i, int n, int e, int, int) { weights[i][n][e] *= scale; });
    if (key < extent.highest || key + kKeys - 1 > first_query) {
      for_each_element(weights, [&](int i, int n, int e, int row, int column) {
        const bool seen = key + column >= start[i][e / 2] && key + column <= first_row + row;
        weights[i][n][e] = seen ? weights[i][n][e] : -INFINITY;
      });
    }
    softmax.template step<T>(weights, out);

    ptx::cp_async_wait<0>();
    __syncthreads();
    if (key + kKeys < end) load_rows<kKeys, kThreads>(keys, key_rows, key + kKeys);
    ptx::cp_async_commit();
    add_weighted(out, weights, values);
  }

#pragma unroll
  for (int i = 0; i < kRowTiles; ++i) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float& sum = softmax.sums[i][half];
      sum = reduce_quad(sum, Sum());
      const int row = first_row + 16 * i + 8 * half + lane / 4;
      if (row < starts.length && lane % 4 == 0) {
        args.lse[(starts.offset + row) * heads + place.head] = softmax.largest[i][half] + logf(sum);
      }
    }
  }
  store_rows(head_rows<T>(args.out, place.sequence, args.length, heads, place.head, dim, vectors), first_row, out,
             [&](int i, int half) { return 1.0f / softmax.sums[i][half]; });
}

}  // namespace

int64_t workspace(const AttentionArgs&, const Context&) { return 0; }

void run(const AttentionArgs& args, const Context& context) {
  with_tiles(args, context, [&](auto element, auto columns) {
    using T = decltype(element);
    using Tiles = ForwardTiles<T, columns>;
    const int64_t blocks = divide_up(args.length, Tiles::kQueries);
    launch_items(context, forward_kernel<T, columns>, args.batch * args.shape.heads * blocks, Tiles::kThreads,
                 Tiles::kSharedBytes, args, are_vectors<T>(args.shape.head_dim, args.qkv, args.out), blocks,
                 context.reporter());
  });
}

}  // namespace foretoken::cuda
