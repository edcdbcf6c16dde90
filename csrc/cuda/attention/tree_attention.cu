// Attention of decoding rows over the KV cache, reduced over logical positions: see tree_attention.cuh. Scores and
// weights never exist in memory; each chunk of positions leaves one sum of values and one softmax for each query.
#include "csrc/cuda/attention/kv_cache.cuh"
#include "csrc/cuda/attention/tree_attention_units.cuh"
#include "csrc/cuda/kernels.h"

namespace foretoken::cuda {
namespace tree_attention {
namespace {

// Slots first … end - 1.
struct Range {
  int32_t first, end;
};

// The workspace: `slots` results for every query. Either every chunk has a slot and a block, or one block goes through
// all chunks and merges them into the only slot, in the same order.
struct Parts {
  float* sums;       // [rows * heads, slots, head_dim]
  Softmax* softmax;  // [rows * heads, slots]
  Range* ranges;     // [rows]: slots in use; none for padding, and for all rows if the tree is invalid
  int64_t slots, tiles;
};

template <typename T, bool kVectors>
struct Shared {
  alignas(16) Sums sums[kUnits];
  alignas(16) typename Unit<T, kVectors>::Memory units[kUnits];
  int32_t slots[kQueries][kChunk];  // of each row
  Place places[kQueries];           // of each row
  QueryPlace queries[kQueries];     // entries after the last repeat it
  int64_t numbers[kQueries];        // of each query among all queries
  Softmax softmax[kUnits][kQueries];
  // For merging the units of a chunk, and then the chunk with the chunks before.
  Range used[kQueries];  // units with positions of the window
  float factors[kUnits][kQueries], before[kQueries], behind[kQueries];
  int64_t reduction[kUnits];
};

// The work of one block.
template <typename T, bool kVectors>
class Block {
 public:
  FORETOKEN_DEVICE Block(const TreeAttentionArgs& args, const Parts& parts, const Tile& tile, int64_t kv_head,
                         Shared<T, kVectors>& shared)
      : args_(args), parts_(parts), tile_(tile), shared_(shared) {
    const KvCacheView& cache = args.cache;
    source_ = {static_cast<const T*>(args.qkv),
               shared.queries,
               pages_of(cache, tile.sequence),
               kv_plane(cache, args.layer, KvPart::kKeys, kv_head, cache.head_dim),
               kv_plane(cache, args.layer, KvPart::kValues, kv_head, cache.head_dim),
               cache.head_dim,
               args.shape.scale};
    describe(kv_head);
    in_line_ = positions_ = shared.places[0].in_line;
    first_ = shared.places[0].first;
    for (int r = 0; r < tile.rows; ++r) {
      in_line_ = Min()(in_line_, shared.places[r].in_line);
      positions_ = Max()(positions_, shared.places[r].positions);
      first_ = Min()(first_, shared.places[r].first);
    }
  }

  // Writes which slots the tile's rows use, except for a row whose first query belongs to the tile before.
  FORETOKEN_DEVICE void write_ranges() {
    if (thread_ >= tile_.rows || (thread_ == 0 && tile_.before > 0)) return;
    const Place& place = shared_.places[thread_];
    const Range chunks = {place.first / kChunk, (place.positions + kChunk - 1) / kChunk};
    parts_.ranges[tile_.row + thread_] = parts_.slots == 1 ? Range{0, 1} : chunks;
  }

  // Merges chunks first … end - 1, as far as the tile has positions, into slot `first`.
  FORETOKEN_DEVICE void attend(int32_t first, int32_t end) {
    for (int32_t chunk = Max()(first, first_ / kChunk); chunk < end && chunk * kChunk < positions_; ++chunk) {
      const Share share = share_of(chunk);
      find_all_slots(share);
      Unit<T, kVectors> unit(source_, share.first, shared_.units[threadIdx.x / kWarp]);
      const auto passes = [&](const auto& f) { for_passes(share, f); };
      unit.score(passes, shared_.softmax[share.unit]);
      __syncthreads();
      if (thread_ < tile_.count) merge_softmax(chunk, first);
      for (int64_t dim = 0; dim < source_.head_dim; dim += kDims) {
        unit.weigh(passes, dim, shared_.sums[share.unit]);
        __syncthreads();
        merge_sums(dim, chunk, first);
        __syncthreads();
      }
    }
  }

 private:
  FORETOKEN_DEVICE void describe(int64_t kv_head) {
    const AttentionShape& shape = args_.shape;
    const int64_t chain = leading_chain(args_.tree, tile_, shared_.reduction);
    if (thread_ < tile_.rows) {
      shared_.places[thread_] = place_of(args_.tree, tile_, chain, tile_.row + thread_, shape.window);
    }
    if (thread_ < kQueries) {
      const int q = thread_ < tile_.count ? thread_ : tile_.count - 1;
      const int64_t row = tile_.row + tile_.row_of(q), head = kv_head * tile_.group + tile_.head_of(q);
      shared_.queries[thread_].offset = (row * (shape.heads + 2 * shape.kv_heads) + head) * shape.head_dim;
      shared_.numbers[thread_] = row * shape.heads + head;
    }
    __syncthreads();
    if (thread_ < kQueries)
      shared_.queries[thread_].first = place_of_query(thread_ < tile_.count ? thread_ : tile_.count - 1).first;
    __syncthreads();
  }

  FORETOKEN_DEVICE const Place& place_of_query(int32_t q) const { return shared_.places[tile_.row_of(q)]; }

  // Whether query q merges a chunk with one before it in the same slot, of which the block's first chunk is `first`.
  FORETOKEN_DEVICE bool is_later(int32_t q, int32_t chunk, int32_t first) const {
    return chunk > Max()(first, shared_.queries[q].first / kChunk);
  }

  // Whether all queries have all positions of the unit that begins at `first`, in the same slots.
  FORETOKEN_DEVICE bool is_shared(int32_t first) const { return first + kUnit <= in_line_; }

  // A warp's share of a chunk: in the unit that begins at position `first`, the passes for rows `row`, `row` + `step`,
  // … of the tile.
  struct Share {
    int32_t unit, first, row, step;
  };

  // Near the end there are fewer units than warps, and a unit takes one pass for each row: the warps share the passes.
  FORETOKEN_DEVICE Share share_of(int32_t chunk) const {
    const int32_t warp = thread_ / kWarp, left = positions_ - chunk * kChunk;
    const int32_t units = Min()((left + kUnit - 1) / kUnit, kUnits), unit = warp % units;
    return {unit, chunk * kChunk + unit * kUnit, warp / units, (kUnits - 1 - unit) / units + 1};
  }

  // Called by the share's warp.
  FORETOKEN_DEVICE void find_all_slots(const Share& share) {
    int32_t* const slots = shared_.slots[0] + share.first % kChunk;
    for (int r = share.row; r < (is_shared(share.first) ? 1 : tile_.rows); r += share.step) {
      find_slots(args_.tree, tile_, shared_.places[r], tile_.row + r, share.first, slots + r * kChunk);
    }
    __syncwarp();
  }

  template <typename F>
  FORETOKEN_DEVICE void for_passes(const Share& share, const F& f) const {
    const int32_t* const slots = shared_.slots[0] + share.first % kChunk;
    const bool shared = is_shared(share.first);
    for (int r = share.row; r < (shared ? 1 : tile_.rows); r += share.step) {
      const int32_t positions = shared ? kUnit : Min()(shared_.places[r].positions - share.first, kUnit);
      if (positions <= 0 || share.first + kUnit <= (shared ? first_ : shared_.places[r].first)) continue;
      f(Pass{shared ? 0 : tile_.queries_before(r), shared ? tile_.count : tile_.queries_before(r + 1),
             slots + r * kChunk, positions});
    }
  }

  // Merges the softmaxes of a chunk's units, and the result with the chunks from `first` on. A thread merges one query.
  FORETOKEN_DEVICE void merge_softmax(int32_t chunk, int32_t first) {
    const Place& place = place_of_query(thread_);
    const int32_t before = chunk * kChunk;
    const Range used = {Max()(0, (place.first - before) / kUnit),
                        Min()((place.positions - before + kUnit - 1) / kUnit, kUnits)};
    shared_.used[thread_] = used;
    if (used.first >= used.end) return;
    Softmax whole = {-INFINITY, 0};
    for (int u = used.first; u < used.end; ++u) {
      whole.largest = fmaxf(whole.largest, shared_.softmax[u][thread_].largest);
    }
    for (int u = used.first; u < used.end; ++u) {
      const Softmax& unit = shared_.softmax[u][thread_];
      shared_.factors[u][thread_] = exp(unit.largest - reference_of(whole.largest));
      whole.sum = fmaf(unit.sum, shared_.factors[u][thread_], whole.sum);
    }
    Softmax& kept = parts_.softmax[shared_.numbers[thread_] * parts_.slots + first];
    if (is_later(thread_, chunk, first)) {
      const Merge merge(kept, whole);
      shared_.before[thread_] = merge.before;
      shared_.behind[thread_] = merge.behind;
      whole = merge.softmax;
    }
    kept = whole;
  }

  FORETOKEN_DEVICE void merge_sums(int64_t dim, int32_t chunk, int32_t first) {
    for (int i = thread_; i < tile_.count * kDims; i += kThreads) {
      const int q = i / kDims, d = i % kDims;
      const Range used = shared_.used[q];
      if (used.first >= used.end || dim + d >= source_.head_dim) continue;
      float sum = 0;
      for (int u = used.first; u < used.end; ++u) sum = fmaf(shared_.sums[u][q][d], shared_.factors[u][q], sum);
      float& kept = parts_.sums[(shared_.numbers[q] * parts_.slots + first) * source_.head_dim + dim + d];
      kept = is_later(q, chunk, first) ? fmaf(sum, shared_.behind[q], kept * shared_.before[q]) : sum;
    }
  }

  const TreeAttentionArgs& args_;
  const Parts& parts_;
  const Tile& tile_;
  Shared<T, kVectors>& shared_;
  Source<T> source_;
  const int thread_ = threadIdx.x;
  // The fewest in-line positions, the most positions, and the first position of a window, of the tile's rows.
  int32_t in_line_, positions_, first_;
};

// Two blocks a multiprocessor, which leaves registers for loads in flight.
template <typename T, bool kVectors>
__global__ void __launch_bounds__(kThreads, 2) attend_kernel(TreeAttentionArgs args, Parts parts, Reporter reporter) {
  FORETOKEN_DYNAMIC_SHARED(memory);
  auto& shared = *reinterpret_cast<Shared<T, kVectors>*>(memory);
  const TreeRows& tree = args.tree;
  const auto tiles = static_cast<uint32_t>(parts.tiles), kv_heads = static_cast<uint32_t>(args.shape.kv_heads);
  const uint32_t kv_head = blockIdx.x / tiles % kv_heads;
  const auto chunk = static_cast<int32_t>(blockIdx.x / tiles / kv_heads);
  const Tile tile = tile_of(tree, static_cast<int32_t>(args.shape.heads / args.shape.kv_heads), blockIdx.x % tiles);

  // Most blocks have no work while the cache is far from full, or if windows are short. The first blocks write ranges
  // nevertheless, and block 0 checks the tree.
  const int64_t end = tile.length + tile.end_row - tile.first_row, begin = tile.length + 1 - args.shape.window;
  const bool is_seen = chunk == 0 || (int64_t{chunk} + 1) * kChunk > begin;
  const bool has_work = tile.count > 0 && int64_t{chunk} * kChunk < end && is_seen;
  if (!has_work && blockIdx.x > 0) return;
  const bool valid = tree_is_valid<kThreads>(tree, {args.cache.reserved}, reporter, shared.reduction);
  if (blockIdx.x == 0) {
    const int64_t first = valid ? rows_in_use(tree) : 0;
    for (int64_t r = first + threadIdx.x; r < tree.rows; r += kThreads) parts.ranges[r] = {0, 0};
  }
  if (!valid || !has_work) return;
  Block<T, kVectors> block(args, parts, tile, kv_head, shared);
  if (kv_head == 0 && chunk == 0) block.write_ranges();
  block.attend(chunk, parts.slots == 1 ? INT32_MAX : chunk + 1);
}

// Merges the chunks of a query in order and writes the output. A block merges one query.
template <typename T>
__global__ void __launch_bounds__(kThreads) merge_kernel(Parts parts, uint32_t heads, int64_t head_dim, T* out) {
  const int64_t query = blockIdx.x;
  const Range range = parts.ranges[blockIdx.x / heads];
  const Softmax* const softmax = parts.softmax + query * parts.slots;
  for (int64_t d = threadIdx.x; d < head_dim; d += kThreads) {
    if (range.first == range.end) {
      out[query * head_dim + d] = from_float<T>(0);
      continue;
    }
    const float* const sums = parts.sums + query * parts.slots * head_dim + d;
    Softmax whole = softmax[range.first];
    float sum = sums[range.first * head_dim];
    for (int32_t slot = range.first + 1; slot < range.end; ++slot) {
      const Merge merge(whole, softmax[slot]);
      sum = merge.of(sum, sums[slot * head_dim]);
      whole = merge.softmax;
    }
    out[query * head_dim + d] = from_float<T>(sum / whole.sum);
  }
}

int64_t tiles_of(const TreeAttentionArgs& args) {
  return first_tile(args.tree.rows, args.tree.sequences, args.shape.heads / args.shape.kv_heads);
}

// One slot for each chunk, so that chunks run at the same time, unless the tiles alone keep the device busy.
int64_t slots_of(const TreeAttentionArgs& args, const Context& context) {
  constexpr int64_t kBlocksEach = 4;  // a multiprocessor
  const bool busy = tiles_of(args) * args.shape.kv_heads >= kBlocksEach * context.multiprocessors;
  return busy ? 1 : divide_up(args.cache.blocks * kKvPage, kChunk);
}

// Arrays of the workspace begin at multiples of 64 bytes.
constexpr int64_t aligned_bytes(int64_t bytes) { return round_up(bytes, 64); }

Parts parts_of(const TreeAttentionArgs& args, const Context& context, int64_t* bytes) {
  const int64_t slots = slots_of(args, context), parts = args.tree.rows * args.shape.heads * slots;
  const int64_t sum_bytes = aligned_bytes(parts * args.shape.head_dim * static_cast<int64_t>(sizeof(float)));
  const int64_t softmax_bytes = aligned_bytes(parts * static_cast<int64_t>(sizeof(Softmax)));
  *bytes = sum_bytes + softmax_bytes + aligned_bytes(args.tree.rows * static_cast<int64_t>(sizeof(Range)));
  char* const base = static_cast<char*>(args.workspace.data);
  return {reinterpret_cast<float*>(base), reinterpret_cast<Softmax*>(base + sum_bytes),
          reinterpret_cast<Range*>(base + sum_bytes + softmax_bytes), slots, tiles_of(args)};
}

template <typename T, bool kVectors>
void start(const TreeAttentionArgs& args, const Parts& parts, const Context& context) {
  const int64_t blocks = parts.tiles * args.shape.kv_heads * parts.slots;
  launch(context, attend_kernel<T, kVectors>, dim3(static_cast<unsigned>(blocks)), dim3(kThreads),
         sizeof(Shared<T, kVectors>), args, parts, context.reporter());
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
    const bool fit = vectors_fit({args.qkv}, {args.shape.head_dim * static_cast<int64_t>(sizeof(T))});
    if (fit) start<T, true>(args, parts, context);
    else start<T, false>(args, parts, context);
    launch(context, merge_kernel<T>, dim3(static_cast<unsigned>(args.tree.rows * args.shape.heads)), dim3(kThreads), 0,
           parts, args.shape.heads, args.shape.head_dim, static_cast<T*>(args.out));
  });
}

}  // namespace foretoken::cuda
