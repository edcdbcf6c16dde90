// Attention of decoding rows over the KV cache, reduced over logical positions: see tree_attention.cuh.
#include "csrc/cuda/kernels.h"
#include "csrc/cuda/kv_cache.cuh"
#include "csrc/cuda/tree_attention_units.cuh"

namespace foretoken::cuda {
namespace tree_attention {
namespace {

// The workspace: what chunks come to, for `slots` of every query, and what there is to merge. Either every chunk has a
// slot and a block, or one block goes through all and merges them into the only slot, in the same order.
struct Parts {
  float* sums;       // [rows * heads, slots, head_dim]
  Softmax* softmax;  // [rows * heads, slots]
  int32_t* counts;   // [rows]: slots in use; 0 if the tree is bad
  int64_t slots, tiles;
};

template <typename T, bool kVectors>
struct Shared {
  alignas(16) Sums sums[kUnits];
  alignas(16) typename Unit<T, kVectors>::Memory units[kUnits];
  int32_t slots[kQueries][kChunk];  // of each row of the tile
  Softmax softmax[kUnits][kQueries];
  float factors[kUnits][kQueries];  // of the units of this chunk
  int used[kQueries];               // how many of them a query has
  float before[kQueries], behind[kQueries];
  int64_t offsets[kQueries];
  Place places[kQueries];
  int64_t reduction[kUnits];
};

template <typename T, bool kVectors>
__global__ void __launch_bounds__(kThreads) attend_kernel(TreeAttentionArgs args, Parts parts, Reporter reporter) {
  FORETOKEN_DYNAMIC_SHARED(memory);
  auto& shared = *reinterpret_cast<Shared<T, kVectors>*>(memory);
  const TreeRows& tree = args.tree;
  const auto [heads, kv_heads, head_dim, scale] = args.shape;
  const int64_t group = heads / kv_heads, first_chunk = blockIdx.x / parts.tiles / kv_heads;
  const int64_t kv_head = blockIdx.x / parts.tiles % kv_heads;
  const Tile tile = tile_of(tree, group, blockIdx.x % parts.tiles);
  const int thread = threadIdx.x, warp = thread / kWarp;

  // Most blocks have nothing to do if the cache is far from full. The first one reports what is wrong all the same.
  const bool has_work = tile.count > 0 && first_chunk * kChunk < tile.length + tile.end_row - tile.first_row;
  if (!has_work && blockIdx.x > 0) return;
  const bool good = tree_is_good<kThreads>(tree, args.cache.capacity, reporter, shared.reduction);
  if (!good && blockIdx.x == 0) {
    for (int64_t r = thread; r < tree.rows; r += kThreads) parts.counts[r] = 0;
  }
  if (!good || !has_work) return;

  const int64_t chain = leading_chain(tree, tile, tile.row_of(tile.count - 1) + 1, shared.reduction);
  if (thread < tile.rows) {
    const int64_t row = tile.row_of(0) + thread;
    const Place place = place_of(tree, tile, chain, row);
    shared.places[thread] = place;
    const bool is_first = kv_head == 0 && first_chunk == 0 && tile.query_of(thread) >= 0;
    if (is_first) parts.counts[row] = static_cast<int32_t>(parts.slots == 1 ? 1 : divide_up(place.positions, kChunk));
  }
  if (thread < kQueries) {
    const int64_t q = thread < tile.count ? thread : tile.count - 1;
    shared.offsets[thread] =
        (tile.row_of(q) * (heads + 2 * kv_heads) + kv_head * group + (tile.first + q) % group) * head_dim;
  }
  __syncthreads();
  // Of all rows.
  int32_t in_line = shared.places[0].in_line, positions = 0;
  for (int r = 0; r < tile.rows; ++r) {
    in_line = Min()(in_line, shared.places[r].in_line);
    positions = Max()(positions, shared.places[r].positions);
  }

  const T* const cache = static_cast<const T*>(args.cache.data);
  const Source<T> source = {static_cast<const T*>(args.qkv),
                            shared.offsets,
                            cache + kv_plane(args.cache, args.layer, KvPart::kKeys, tile.sequence, kv_head, head_dim),
                            cache + kv_plane(args.cache, args.layer, KvPart::kValues, tile.sequence, kv_head, head_dim),
                            head_dim,
                            scale};
  const int64_t end_chunk = parts.slots == 1 ? divide_up(positions, kChunk) : first_chunk + 1;
  for (int64_t chunk = first_chunk; chunk < end_chunk; ++chunk) {
    const int64_t first = chunk * kChunk + warp * kUnit;
    int32_t* const slots = shared.slots[0] + warp * kUnit;
    // Whether all queries have all positions of this unit, in the same slots.
    const bool is_shared = first + kUnit <= in_line;
    const auto passes = [&](const auto& f) {
      for (int r = 0; r < (is_shared ? 1 : tile.rows); ++r) {
        const int64_t left = is_shared ? kUnit : shared.places[r].positions - first;
        if (left <= 0) continue;
        f(Pass{is_shared ? 0 : static_cast<int>(Max()(tile.query_of(r), int64_t{0})),
               is_shared ? tile.count : static_cast<int>(Min()(tile.query_of(r + 1), int64_t{tile.count})),
               slots + r * kChunk, static_cast<int>(Min()(left, int64_t{kUnit}))});
      }
    };
    if (is_shared) {
      find_slots(tree, tile, {in_line, in_line}, 0, first, slots);
    } else {
      for (int r = 0; r < tile.rows; ++r) {
        find_slots(tree, tile, shared.places[r], tile.row_of(0) + r, first, slots + r * kChunk);
      }
    }
    __syncwarp();
    Unit<T, kVectors> unit(source, shared.units[warp]);
    unit.score(passes, shared.softmax[warp]);
    __syncthreads();

    if (thread < tile.count) {
      const int64_t query = tile.row_of(thread) * heads + kv_head * group + (tile.first + thread) % group;
      const int64_t left = shared.places[tile.row_of(thread) - tile.row_of(0)].positions - chunk * kChunk;
      const int used = static_cast<int>(Max()(int64_t{0}, Min()(divide_up(left, kUnit), int64_t{kUnits})));
      shared.used[thread] = used;
      Softmax whole = {-INFINITY, 0};
      for (int u = 0; u < used; ++u) whole.largest = fmaxf(whole.largest, shared.softmax[u][thread].largest);
      for (int u = 0; u < used; ++u) {
        const float factor = exp(shared.softmax[u][thread].largest - reference_of(whole.largest));
        shared.factors[u][thread] = factor;
        whole.sum = fmaf(shared.softmax[u][thread].sum, factor, whole.sum);
      }
      if (used > 0) {
        Softmax& kept = parts.softmax[query * parts.slots + first_chunk];
        if (chunk > first_chunk) {
          const Merge merge(kept, whole);
          shared.before[thread] = merge.before;
          shared.behind[thread] = merge.behind;
          whole = merge.softmax;
        }
        kept = whole;
      }
    }
    for (int64_t dim = 0; dim < head_dim; dim += kDims) {
      unit.weigh(passes, dim, shared.sums[warp]);
      __syncthreads();
      for (int i = thread; i < tile.count * kDims; i += kThreads) {
        const int q = i / kDims, d = i % kDims;
        if (shared.used[q] == 0 || dim + d >= head_dim) continue;
        float sum = 0;
        for (int u = 0; u < shared.used[q]; ++u) sum = fmaf(shared.sums[u][q][d], shared.factors[u][q], sum);
        const int64_t query = tile.row_of(q) * heads + kv_head * group + (tile.first + q) % group;
        float& kept = parts.sums[(query * parts.slots + first_chunk) * head_dim + dim + d];
        kept = chunk == first_chunk ? sum : fmaf(sum, shared.behind[q], kept * shared.before[q]);
      }
      __syncthreads();
    }
  }
}

// What the chunks of every query come to, in order.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    merge_kernel(Parts parts, int64_t rows, int64_t heads, int64_t head_dim, T* out) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= rows * heads * head_dim) return;
  const int64_t query = i / head_dim, count = parts.counts[query / heads];
  if (count == 0) {
    out[i] = from_float<T>(0);
    return;
  }
  const Softmax* const softmax = parts.softmax + query * parts.slots;
  const float* const sums = parts.sums + query * parts.slots * head_dim + i % head_dim;
  Softmax whole = softmax[0];
  float sum = sums[0];
  for (int64_t slot = 1; slot < count; ++slot) {
    const Merge merge(whole, softmax[slot]);
    sum = merge.of(sum, sums[slot * head_dim]);
    whole = merge.softmax;
  }
  out[i] = from_float<T>(sum / whole.sum);
}

int64_t tiles_of(const TreeAttentionArgs& args) {
  return first_tile(args.tree.rows, args.tree.sequences, args.shape.heads / args.shape.kv_heads);
}

// Chunks run side by side unless the tiles are many enough to fill the device.
int64_t slots_of(const TreeAttentionArgs& args, const Context& context) {
  constexpr int64_t kBlocksEach = 4;  // a multiprocessor
  const bool fills = tiles_of(args) * args.shape.kv_heads >= kBlocksEach * context.multiprocessors;
  return fills ? 1 : divide_up(args.cache.capacity, kChunk);
}

constexpr int64_t lines(int64_t bytes) { return round_up(bytes, 64); }

Parts parts_of(const TreeAttentionArgs& args, const Context& context, int64_t* bytes) {
  const int64_t slots = slots_of(args, context), parts = args.tree.rows * args.shape.heads * slots;
  const int64_t sum_bytes = lines(parts * args.shape.head_dim * static_cast<int64_t>(sizeof(float)));
  const int64_t softmax_bytes = lines(parts * static_cast<int64_t>(sizeof(Softmax)));
  *bytes = sum_bytes + softmax_bytes + lines(args.tree.rows * static_cast<int64_t>(sizeof(int32_t)));
  char* const base = static_cast<char*>(args.workspace.data);
  return {reinterpret_cast<float*>(base), reinterpret_cast<Softmax*>(base + sum_bytes),
          reinterpret_cast<int32_t*>(base + sum_bytes + softmax_bytes), slots, tiles_of(args)};
}

}  // namespace
}  // namespace tree_attention

int64_t workspace(const TreeAttentionArgs& args, const Context& context) {
  int64_t bytes = 0;
  tree_attention::parts_of(args, context, &bytes);
  return bytes;
}

void run(const TreeAttentionArgs& args, const Context& context) {
  using namespace tree_attention;
  int64_t bytes = 0;
  const Parts parts = parts_of(args, context, &bytes);
  with_activations(args.cache.dtype, [&](auto type) {
    using T = decltype(type);
    const int64_t chunks = parts.slots == 1 ? 1 : parts.slots;
    const auto start = [&](auto kernel, size_t shared_bytes) {
      launch(context, kernel, dim3(static_cast<unsigned>(parts.tiles * args.shape.kv_heads * chunks)), dim3(kThreads),
             shared_bytes, args, parts, context.reporter());
    };
    const int64_t slot_bytes = args.shape.head_dim * static_cast<int64_t>(sizeof(T));
    if (vectors_fit({args.qkv, args.cache.data}, {slot_bytes})) start(attend_kernel<T, true>, sizeof(Shared<T, true>));
    else start(attend_kernel<T, false>, sizeof(Shared<T, false>));
    const int64_t elements = args.tree.rows * args.shape.heads * args.shape.head_dim;
    launch(context, merge_kernel<T>, dim3(static_cast<unsigned>(divide_up(elements, kThreads))), dim3(kThreads), 0,
           parts, args.tree.rows, args.shape.heads, args.shape.head_dim, static_cast<T*>(args.out));
  });
}

}  // namespace foretoken::cuda
