// Attention of draft trees over the KV cache. Sums run over logical positions: the committed prefix in order, then the
// row's ancestors in order, then the row itself. So a row has the bits of plain decoding, whatever rows are beside it
// and whatever slots hold its ancestors.
#include "csrc/core/tree.h"
#include "csrc/cpu/attention/kv_layout.h"
#include "csrc/cpu/kernels.h"
#include "csrc/cpu/sizes.h"

namespace foretoken::cpu::FORETOKEN_ISA {
namespace {

// Consecutive queries of one sequence and one key/value head. Query q is in row q / group of the sequence; its head is
// number q % group of the group of query heads that share the key/value head.
struct Block {
  int64_t sequence, first, count;
};

// The place of a row in its tree.
struct Place {
  int32_t depth;
  int32_t in_line;  // number of leading nodes on its path from the root whose slot equals their logical position
};

int64_t group_of(const TreeAttentionArgs& args) { return args.shape.heads / args.shape.kv_heads; }

// Number of queries in a block, small enough that every thread gets some.
int64_t block_size(const TreeAttentionArgs& args, const Context& context) {
  return larger(1, smaller(kQueryBlock, divide_up(args.tree.rows * args.shape.heads, context.threads)));
}

int64_t most_blocks(const TreeAttentionArgs& args, const Context& context) {
  return args.tree.rows * group_of(args) / block_size(args, context) + args.tree.sequences;
}

// The workspace: first the part that all threads read, then a part for each thread.
struct Scratch {
  Scratch(const TreeAttentionArgs& args, const Context& context)
      : block(block_size(args, context)),
        padded(args.cache.blocks * kKvPage),
        head_dim(args.shape.head_dim),
        places_bytes(cache_lines(bytes_of<Place>(args.tree.rows))),
        blocks_bytes(cache_lines(bytes_of<Block>(most_blocks(args, context)))),
        thread_bytes(cache_lines(bytes_of<float>(block * (2 * head_dim + padded + 1) + padded))),
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
        denominators(sums + all.block * all.head_dim),
        slots(reinterpret_cast<int32_t*>(denominators + all.block)) {}

  float* const scores;        // [block, padded]
  float* const queries;       // [block, head_dim], times the scale
  float* const sums;          // [block, head_dim]
  float* const denominators;  // [block]
  int32_t* const slots;       // [padded]: slots of one row's ancestors
};

void find_places(const TreeRows& tree, Place* places) {
  for (int64_t s = 0; s < tree.sequences; ++s) {
    const int32_t first = tree.row_offsets[s];
    for (int32_t r = first; r < tree.row_offsets[s + 1]; ++r) {
      const int32_t parent = tree.parents[r];
      const Place above = parent < 0 ? Place{-1, 0} : places[parent];
      const int32_t depth = above.depth + 1;
      // A row whose depth equals its distance from the first row has all rows between as ancestors.
      places[r] = {depth, r - first == depth ? depth + 1 : above.in_line};
    }
  }
}

int64_t find_blocks(const TreeRows& tree, int64_t group, int64_t size, Block* blocks) {
  int64_t count = 0;
  for (int64_t s = 0; s < tree.sequences; ++s) {
    const int64_t queries = (tree.row_offsets[s + 1] - tree.row_offsets[s]) * group;
    for (int64_t first = 0; first < queries; first += size) {
      blocks[count++] = {s, first, smaller(size, queries - first)};
    }
  }
  return count;
}

// Computes scores for slots first … slots - 1, and undefined values up to the end of the last group. A page begins at
// `first`.
void dot_slots(const KvHead& head, int64_t first, int64_t slots, int64_t queries, const ThreadScratch& scratch,
               int64_t stride) {
  for (; first < slots; first += kKvPage) {
    dot_keys(scratch.queries, queries, head.head_dim, head.keys_of(first / kKvPage),
             groups_of(smaller(kKvPage, slots - first)), scratch.scores + first, stride);
  }
}

// Adds the values of sum.count slots from the beginning of a page on.
void add_slots(const KvHead& head, WeightedSum sum, int64_t page) {
  for (int64_t left = sum.count; left > 0; left -= kKvPage, ++page, sum.weights += kKvPage) {
    sum.count = smaller(kKvPage, left);
    sum.values = head.values_of(page);
    add_weighted(sum);
  }
}

// Adds the values of slots[0] … slots[sum.count - 1], which rise. Changes `slots`.
void add_slots(const KvHead& head, WeightedSum sum, int32_t* slots) {
  for (const int32_t* const end = slots + sum.count; slots < end; slots += sum.count, sum.weights += sum.count) {
    const auto page = static_cast<int32_t>(slots[0] / kKvPage), first = static_cast<int32_t>(page * kKvPage);
    for (sum.count = 0; slots + sum.count < end && slots[sum.count] < first + kKvPage; ++sum.count) {
      slots[sum.count] -= first;
    }
    sum.values = head.values_of(page);
    add_weighted(sum, slots);
  }
}

// slots[p] = slot of the logical position p of a row, for p in `first` … `end` - 1; end - 1 is the row's own position.
void find_slots(const TreeRows& tree, int64_t sequence, int64_t row, int64_t first, int64_t end, int32_t* slots) {
  const int64_t shift = tree.lengths[sequence] - tree.row_offsets[sequence];
  for (int64_t position = end; position-- > first; row = tree.parents[row]) {
    slots[position] = static_cast<int32_t>(row + shift);
  }
}

void attend(const TreeAttentionArgs& args, const Block& block, int64_t kv_head, const Place* places,
            const ThreadScratch& scratch, int64_t stride) {
  const TreeRows& tree = args.tree;
  const auto [heads, kv_heads, head_dim, scale, window] = args.shape;
  const int64_t group = group_of(args);
  const int64_t first_row = tree.row_offsets[block.sequence], length = tree.lengths[block.sequence];
  const KvHead head = kv_head_of(args.cache, args.layer, block.sequence, kv_head);
  const auto row_of = [&](int64_t i) { return first_row + (block.first + i) / group; };
  const auto head_of = [&](int64_t i) { return kv_head * group + (block.first + i) % group; };
  const auto positions_of = [&](int64_t row) { return length + places[row].depth + 1; };
  const auto window_of = [&](int64_t row) { return larger(0, positions_of(row) - window); };

  for (int64_t i = 0; i < block.count; ++i) {
    const float* const query = as_floats(args.qkv) + (row_of(i) * (heads + 2 * kv_heads) + head_of(i)) * head_dim;
    scale_row(query, scale, head_dim, scratch.queries + i * head_dim);
  }
  // For every row of the block, each logical position before `shared` equals its slot, and no window reaches before
  // `begin`, which begins a page.
  const int64_t last_row = row_of(block.count - 1);
  int64_t shared = length + places[last_row].in_line, begin = window_of(last_row);
  for (int64_t r = row_of(0); r < last_row; ++r) {
    shared = smaller(shared, length + places[r].in_line);
    begin = smaller(begin, window_of(r));
  }
  begin = begin / kKvPage * kKvPage;
  shared = larger(shared, begin);

  // Ancestors precede their descendants, so no row needs a slot behind that of the last row.
  dot_slots(head, begin, length + last_row - first_row + 1, block.count, scratch, stride);

  int64_t next = 0;
  for (int64_t i = 0; i < block.count; i = next) {
    const int64_t row = row_of(i), positions = positions_of(row);
    find_slots(tree, block.sequence, row, shared, positions, scratch.slots);
    for (next = i; next < block.count && row_of(next) == row; ++next) {
      float* const scores = scratch.scores + next * stride;
      // In place, because slots[p] ≥ p.
      for (int64_t p = shared; p < positions; ++p) scores[p] = scores[scratch.slots[p]];
      const int64_t first = window_of(row) - begin, end = positions - begin;
      const float largest = row_max(scores + begin, first, end);
      scratch.denominators[next] = exponentiate(scores + begin, first, end, end, largest);
    }
  }

  for (int64_t i = 0; i < block.count * head_dim; ++i) scratch.sums[i] = 0;
  add_slots(head, {block.count, shared - begin, head_dim, scratch.scores + begin, stride, nullptr, scratch.sums},
            begin / kKvPage);
  for (int64_t i = 0; i < block.count; i = next) {
    const int64_t row = row_of(i), positions = positions_of(row);
    find_slots(tree, block.sequence, row, shared, positions, scratch.slots);
    for (next = i; next < block.count && row_of(next) == row;) ++next;
    add_slots(head,
              {next - i, positions - shared, head_dim, scratch.scores + i * stride + shared, stride, nullptr,
               scratch.sums + i * head_dim},
              scratch.slots + shared);
  }

  for (int64_t i = 0; i < block.count; ++i) {
    float* const out = as_floats(args.out) + (row_of(i) * heads + head_of(i)) * head_dim;
    scale_row(scratch.sums + i * head_dim, 1.0f / scratch.denominators[i], head_dim, out);
  }
}

void zero_padding(const TreeAttentionArgs& args) {
  const int64_t first = args.tree.row_offsets[args.tree.sequences], dim = args.shape.heads * args.shape.head_dim;
  for (int64_t i = first * dim; i < args.tree.rows * dim; ++i) as_floats(args.out)[i] = 0;
}

// Number of multiply-adds below which waking another thread takes longer than it saves.
constexpr int64_t kWorthAThread = int64_t{1} << 17;

int64_t multiply_adds(const TreeAttentionArgs& args) {
  int64_t pairs = 0;
  for (int64_t s = 0; s < args.tree.sequences; ++s) {
    const int64_t rows = args.tree.row_offsets[s + 1] - args.tree.row_offsets[s];
    pairs += rows * (smaller(args.tree.lengths[s], args.shape.window) + rows);
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
  if (find_problem(args.tree, {args.cache.reserved}, &problem))
    return report_problem(context, "treeAttention", problem);
  zero_padding(args);
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
