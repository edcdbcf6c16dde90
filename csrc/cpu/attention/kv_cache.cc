// Writes the KV cache: appends new rows behind the committed positions, and moves accepted rows to their final slots.
#include "csrc/core/tree.h"
#include "csrc/cpu/attention/kv_layout.h"
#include "csrc/cpu/kernels.h"

namespace foretoken::cpu::FORETOKEN_ISA {
namespace {

// Number of floats from which on a second thread pays.
constexpr int64_t kPartFloats = 16 * 1024;

void write_slot(const KvHead& head, int64_t slot, const float* key, const float* value) {
  float* const to = head.key(slot);
  for (int64_t d = 0; d < head.head_dim; ++d) to[d * kGroup] = key[d];
  copy_floats(head.value(slot), value, head.head_dim);
}

void move_slot(const KvHead& head, int64_t from, int64_t to) {
  if (from == to) return;
  const float* const in = head.key(from);
  float* const out = head.key(to);
  for (int64_t d = 0; d < head.head_dim; ++d) out[d * kGroup] = in[d * kGroup];
  copy_floats(head.value(to), head.value(from), head.head_dim);
}

}  // namespace

void run(const KvAppendArgs& args, const Context& context) {
  const TreeRows& tree = args.tree;
  const KvCacheView& cache = args.cache;
  IndexProblem problem;
  if (find_problem(tree, {cache.reserved}, &problem)) return report_problem(context, "kvAppend", problem);
  const int64_t head_dim = cache.head_dim;
  const int64_t stride = (args.heads + 2 * cache.kv_heads) * head_dim;
  const bool small = tree.rows * cache.kv_heads * head_dim < kPartFloats;
  const int64_t parts = small ? 1 : cache.kv_heads;
  parallel(context, parts, [&](int64_t part, int) {
    for (int64_t h = part; h < cache.kv_heads; h += parts) {
      const float* const keys = as_floats(args.qkv) + (args.heads + h) * head_dim;
      for (int64_t s = 0; s < tree.sequences; ++s) {
        const KvHead head = kv_head_of(cache, args.layer, s, h);
        for (int64_t r = tree.row_offsets[s]; r < tree.row_offsets[s + 1]; ++r) {
          const float* const key = keys + r * stride;
          write_slot(head, tree.lengths[s] + r - tree.row_offsets[s], key, key + cache.kv_heads * head_dim);
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
        for (int64_t h = 0; h < cache.kv_heads; ++h) {
          const KvHead head = kv_head_of(cache, layer, s, h);
          // The path ascends and slots move to the left only, so no slot is overwritten before it has moved.
          for (int64_t i = 0; i < args.counts[s]; ++i) {
            move_slot(head, length + path[i] - args.row_offsets[s], length + i);
          }
        }
      }
    }
  });
}

}  // namespace foretoken::cpu::FORETOKEN_ISA
