// Attention of decoding rows over the KV cache, reduced over logical positions: the committed prefix in order, then the
// row's own ancestors in order, itself last. The sums of a row are those of plain decoding, to the bit, whatever
// other rows stand beside it and wherever its ancestors lie.
#include "csrc/core/tree.h"
#include "csrc/cpu/attention/kv_layout.h"
#include "csrc/cpu/kernels.h"

namespace foretoken::cpu::FORETOKEN_ISA {
namespace {

// Neighbouring queries of one sequence and one key/value head. Query q of a sequence is query head q % group of the
// group that shares this key/value head, in row q / group of the sequence.
struct Block {
  int64_t sequence, first, count;
};

// Where a row stands in its tree.
struct Place {
  int32_t depth;
  int32_t in_line;  // how many of its ancestors (itself included, root first) have as slot their logical position
};

int64_t group_of(const TreeAttentionArgs& args) { return args.shape.heads / args.shape.kv_heads; }

// Queries of a block: few enough for every thread to get some.
int64_t block_size(const TreeAttentionArgs& args, const Context& context) {
  const int64_t share = (args.tree.rows * args.shape.heads + context.threads - 1) / context.threads;
  return share < 1 ? 1 : share < kQueryBlock ? share : kQueryBlock;
}

int64_t most_blocks(const TreeAttentionArgs& args, const Context& context) {
  return args.tree.rows * group_of(args) / block_size(args, context) + args.tree.sequences;
}

constexpr int64_t lines(int64_t bytes) { return (bytes + 63) / 64 * 64; }

// The workspace: what all threads read, then a part of each thread's own.
struct Scratch {
  Scratch(const TreeAttentionArgs& args, const Context& context)
      : block(block_size(args, context)),
        padded(groups_of(args.cache.capacity) * kGroup),
        head_dim(args.shape.head_dim),
        places_bytes(lines(args.tree.rows * static_cast<int64_t>(sizeof(Place)))),
        blocks_bytes(lines(most_blocks(args, context) * static_cast<int64_t>(sizeof(Block)))),
        thread_bytes(lines((block * (2 * head_dim + padded + 1) + head_dim * kGroup + padded) * 4)),
        base(static_cast<char*>(args.workspace.data)) {}

  Place* places() const { return reinterpret_cast<Place*>(base); }
  Block* blocks() const { return reinterpret_cast<Block*>(base + places_bytes); }

  const int64_t block, padded, head_dim, places_bytes, blocks_bytes, thread_bytes;
  char* const base;
};

struct ThreadScratch {
  ThreadScratch(const Scratch& all, int thread)
      : scores(reinterpret_cast<float*>(all.base + all.places_bytes + all.blocks_bytes + thread * all.thread_bytes)),
        queries(scores + all.block * all.padded),
        sums(queries + all.block * all.head_dim),
        narrow(sums + all.block * all.head_dim),
        denominators(narrow + all.head_dim * kGroup),
        slots(reinterpret_cast<int32_t*>(denominators + all.block)) {}

  float* const scores;        // [block, padded]
  float* const queries;       // [block, head_dim], times the scale
  float* const sums;          // [block, head_dim]
  float* const narrow;        // [head_dim, kGroup]: the last group of keys, if it is narrower in the cache
  float* const denominators;  // [block]
  int32_t* const slots;       // [padded]: of one row's ancestors
};

void find_places(const TreeRows& tree, Place* places) {
  for (int64_t s = 0; s < tree.sequences; ++s) {
    const int32_t first = tree.row_offsets[s];
    for (int32_t r = first; r < tree.row_offsets[s + 1]; ++r) {
      const int32_t parent = tree.parents[r];
      const Place above = parent < 0 ? Place{-1, 0} : places[parent];
      const int32_t depth = above.depth + 1;
      // A row as deep as it stands far from the first has all rows between as ancestors.
      places[r] = {depth, r - first == depth ? depth + 1 : above.in_line};
    }
  }
}

int64_t find_blocks(const TreeRows& tree, int64_t group, int64_t size, Block* blocks) {
  int64_t count = 0;
  for (int64_t s = 0; s < tree.sequences; ++s) {
    const int64_t queries = (tree.row_offsets[s + 1] - tree.row_offsets[s]) * group;
    for (int64_t first = 0; first < queries; first += size) {
      blocks[count++] = {s, first, queries - first < size ? queries - first : size};
    }
  }
  return count;
}

// Scores against the slots 0 … slots - 1 and up to the end of the last group; the excess is garbage.
void dot_slots(const KvPlane& plane, int64_t slots, int64_t queries, const ThreadScratch& scratch, int64_t stride) {
  const int64_t groups = groups_of(slots), last = (groups - 1) * kGroup;
  const int64_t width = plane.width(last), whole = width == kGroup ? groups : groups - 1;
  dot_keys(scratch.queries, queries, plane.head_dim, plane.keys, whole, scratch.scores, stride);
  if (whole == groups) return;
  for (int64_t d = 0; d < plane.head_dim; ++d) {
    for (int64_t i = 0; i < kGroup; ++i) {
      scratch.narrow[d * kGroup + i] = i < width ? plane.key(last)[d * width + i] : 0.0f;
    }
  }
  dot_keys(scratch.queries, queries, plane.head_dim, scratch.narrow, 1, scratch.scores + last, stride);
}

// Slots of the logical positions `first` … `end` - 1 of a row, end - 1 being its own: slots[position].
void find_slots(const TreeRows& tree, int64_t sequence, int64_t row, int64_t first, int64_t end, int32_t* slots) {
  const int64_t shift = tree.lengths[sequence] - tree.row_offsets[sequence];
  for (int64_t position = end; position-- > first; row = tree.parents[row]) {
    slots[position] = static_cast<int32_t>(row + shift);
  }
}

void attend(const TreeAttentionArgs& args, const Block& block, int64_t kv_head, const Place* places,
            const ThreadScratch& scratch, int64_t stride) {
  const TreeRows& tree = args.tree;
  const auto [heads, kv_heads, head_dim, scale] = args.shape;
  const int64_t group = group_of(args);
  const int64_t first_row = tree.row_offsets[block.sequence], length = tree.lengths[block.sequence];
  const KvPlane plane = kv_plane(args.cache, args.layer, block.sequence, kv_head);
  const auto row_of = [&](int64_t i) { return first_row + (block.first + i) / group; };
  const auto head_of = [&](int64_t i) { return kv_head * group + (block.first + i) % group; };

  for (int64_t i = 0; i < block.count; ++i) {
    const float* const query = as_floats(args.qkv) + (row_of(i) * (heads + 2 * kv_heads) + head_of(i)) * head_dim;
    scale_row(query, scale, head_dim, scratch.queries + i * head_dim);
  }
  // Ancestors stand before their descendants, so no row needs a slot behind that of the last row.
  const int64_t last_row = row_of(block.count - 1);
  dot_slots(plane, length + last_row - first_row + 1, block.count, scratch, stride);

  // Logical positions before `shared` are slots of the same number for every row of the block.
  int64_t shared = length + places[last_row].in_line;
  for (int64_t r = row_of(0); r < last_row; ++r) {
    if (length + places[r].in_line < shared) shared = length + places[r].in_line;
  }

  int64_t next = 0;
  for (int64_t i = 0; i < block.count; i = next) {
    const int64_t row = row_of(i), positions = length + places[row].depth + 1;
    find_slots(tree, block.sequence, row, shared, positions, scratch.slots);
    for (next = i; next < block.count && row_of(next) == row; ++next) {
      float* const scores = scratch.scores + next * stride;
      // In place, because slots[p] ≥ p.
      for (int64_t p = shared; p < positions; ++p) scores[p] = scores[scratch.slots[p]];
      const float largest = row_max(scores, 0, positions);
      scratch.denominators[next] = exponentiate(scores, 0, positions, positions, largest);
    }
  }

  for (int64_t i = 0; i < block.count * head_dim; ++i) scratch.sums[i] = 0;
  add_weighted({block.count, shared, head_dim, scratch.scores, stride, plane.values, scratch.sums});
  for (int64_t i = 0; i < block.count; i = next) {
    const int64_t row = row_of(i), positions = length + places[row].depth + 1;
    find_slots(tree, block.sequence, row, shared, positions, scratch.slots);
    for (next = i; next < block.count && row_of(next) == row;) ++next;
    add_weighted({next - i, positions - shared, head_dim, scratch.scores + i * stride + shared, stride, plane.values,
                  scratch.sums + i * head_dim},
                 scratch.slots + shared);
  }

  for (int64_t i = 0; i < block.count; ++i) {
    float* const out = as_floats(args.out) + (row_of(i) * heads + head_of(i)) * head_dim;
    scale_row(scratch.sums + i * head_dim, 1.0f / scratch.denominators[i], head_dim, out);
  }
}

// Multiply-adds below which waking another thread takes longer than it saves.
constexpr int64_t kWorthAThread = int64_t{1} << 17;

int64_t multiply_adds(const TreeAttentionArgs& args) {
  int64_t pairs = 0;
  for (int64_t s = 0; s < args.tree.sequences; ++s) {
    const int64_t rows = args.tree.row_offsets[s + 1] - args.tree.row_offsets[s];
    pairs += rows * (args.tree.lengths[s] + rows);
  }
  return 2 * pairs * args.shape.heads * args.shape.head_dim;
}

}  // namespace

int64_t workspace(const TreeAttentionArgs& args, const Context& context) {
  const Scratch scratch(args, context);
  return scratch.places_bytes + scratch.blocks_bytes + context.threads * scratch.thread_bytes;
}

void run(const TreeAttentionArgs& args, const Context& context) {
  IndexProblem problem;
  if (find_problem(args.tree, args.cache.capacity, &problem)) return report_problem(context, "treeAttention", problem);
  const Scratch scratch(args, context);
  find_places(args.tree, scratch.places());
  const int64_t blocks = find_blocks(args.tree, group_of(args), scratch.block, scratch.blocks());
  auto attend_part = [&](int64_t part, int thread) {
    attend(args, scratch.blocks()[part % blocks], part / blocks, scratch.places(), ThreadScratch(scratch, thread),
           scratch.padded);
  };
  const int64_t parts = blocks * args.shape.kv_heads;
  if (multiply_adds(args) >= kWorthAThread) return parallel(context, parts, attend_part);
  for (int64_t part = 0; part < parts; ++part) attend_part(part, 0);
}

}  // namespace foretoken::cpu::FORETOKEN_ISA
