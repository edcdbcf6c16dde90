// Writes the KV cache: appends new rows behind the committed positions, and moves accepted rows to their final slots.
#include "csrc/core/tree.h"
#include "csrc/cpu/attention/kv_layout.h"
#include "csrc/cpu/kernels.h"

namespace foretoken::cpu::FORETOKEN_ISA {
namespace {

// Number of floats from which on a second thread pays.
constexpr int64_t kPartFloats = 16 * 1024;

void write_slot(const KvPlane& plane, int64_t slot, const float* key, const float* value) {
  float* to = plane.key(slot);
  const int64_t width = plane.width(slot);
  for (int64_t d = 0; d < plane.head_dim; ++d) to[d * width] = key[d];
  copy_floats(plane.value(slot), value, plane.head_dim);
}

void move_slot(const KvPlane& plane, int64_t from, int64_t to) {
  if (from == to) return;
  const float* const in = plane.key(from);
  float* const out = plane.key(to);
  const int64_t in_width = plane.width(from), out_width = plane.width(to);
  for (int64_t d = 0; d < plane.head_dim; ++d) out[d * out_width] = in[d * in_width];
  copy_floats(plane.value(to), plane.value(from), plane.head_dim);
}

}  // namespace

void run(const KvAppendArgs& args, const Context& context) {
  const TreeRows& tree = args.tree;
  const KvCacheView& cache = args.cache;
  IndexProblem problem;
  if (find_problem(tree, cache.capacity, &problem)) return report_problem(context, "kvAppend", problem);
  const int64_t head_dim = cache.head_dim;
  const int64_t stride = (args.heads + 2 * cache.kv_heads) * head_dim;
  const bool small = tree.rows * cache.kv_heads * head_dim < kPartFloats;
  const int64_t parts = small ? 1 : cache.kv_heads;
  parallel(context, parts, [&](int64_t part, int) {
    for (int64_t head = part; head < cache.kv_heads; head += parts) {
      const float* const keys = as_floats(args.qkv) + (args.heads + head) * head_dim;
      for (int64_t s = 0; s < tree.sequences; ++s) {
        const KvPlane plane = kv_plane(cache, args.layer, s, head);
        for (int64_t r = tree.row_offsets[s]; r < tree.row_offsets[s + 1]; ++r) {
          const float* const key = keys + r * stride;
          write_slot(plane, tree.lengths[s] + r - tree.row_offsets[s], key, key + cache.kv_heads * head_dim);
        }
      }
    }
  });
}

void run(const KvCompactArgs& args, const Context& context) {
  const KvCacheView& cache = args.cache;
  IndexProblem problem;
  if (find_problem(args, &problem)) return report_problem(context, "kvCompact", problem);
  int64_t accepted = 0;
  for (int64_t s = 0; s < cache.sequences; ++s) accepted += args.counts[s];
  const bool small = cache.layers * accepted * cache.kv_heads * cache.head_dim < kPartFloats;
  const int64_t parts = small ? 1 : cache.layers;
  parallel(context, parts, [&](int64_t part, int) {
    for (int64_t layer = part; layer < cache.layers; layer += parts) {
      for (int64_t s = 0; s < cache.sequences; ++s) {
        const int32_t* const path = args.path + s * args.path_stride;
        const int64_t length = args.lengths[s];
        for (int64_t head = 0; head < cache.kv_heads; ++head) {
          const KvPlane plane = kv_plane(cache, layer, s, head);
          // The path ascends and slots move to the left only, so no slot is overwritten before it has moved.
          for (int64_t i = 0; i < args.counts[s]; ++i) {
            move_slot(plane, length + path[i] - args.row_offsets[s], length + i);
          }
        }
      }
    }
  });
}

}  // namespace foretoken::cpu::FORETOKEN_ISA
