// Writes the KV cache: appends new rows after the committed positions, and moves accepted rows to their final slots.
// Elements are copied unchanged, 16 bytes at a time if heads are aligned; pages always are.
#include "csrc/cuda/attention/kv_cache.cuh"
#include "csrc/cuda/common/rows.cuh"
#include "csrc/cuda/kernels.h"
#include "csrc/cuda/sampling/tree_check.cuh"

namespace foretoken::cuda {
namespace {

constexpr int kAppendThreads = 256, kCompactThreads = 128;

// A block writes the keys and values of one row after the other.
template <typename Unit>
__global__ void __launch_bounds__(kAppendThreads)
    kv_append_kernel(KvAppendArgs args, int64_t in_head, Reporter reporter) {
  FORETOKEN_SHARED(int64_t, shared, [kAppendThreads / kWarp]);
  const TreeRows& tree = args.tree;
  const KvCacheView& cache = args.cache;
  if (!tree_is_valid<kAppendThreads>(tree, {cache.reserved}, reporter, shared) || has_error(reporter.record)) return;
  const int64_t in_row = (args.heads + 2 * cache.kv_heads) * in_head;
  for (int64_t row = blockIdx.x; row < rows_in_use(tree); row += gridDim.x) {
    const int64_t sequence = sequence_of(tree.row_offsets, tree.sequences, row);
    const int64_t slot = tree.lengths[sequence] + row - tree.row_offsets[sequence];
    for (int64_t i = args.heads * in_head + threadIdx.x; i < in_row; i += kAppendThreads) {
      const int64_t head = i / in_head - args.heads;
      const bool is_value = head >= cache.kv_heads;
      const int64_t plane = kv_plane(cache, args.layer, is_value ? KvPart::kValues : KvPart::kKeys,
                                     is_value ? head - cache.kv_heads : head, in_head);
      Unit* const out = kv_slot<Unit>(pages_of(cache, sequence), plane, slot, in_head);
      out[i % in_head] = static_cast<const Unit*>(args.qkv)[row * in_row + i];
    }
  }
}

// A block moves the keys or the values of one sequence in one layer; a thread moves the elements at one place of every
// slot. Paths rise, so a slot moves to the left and never onto one that the same thread has yet to move. One block a
// multiprocessor: without this bound ptxas chooses so few registers that they spill.
template <typename Unit>
__global__ void __launch_bounds__(kCompactThreads, 1)
    kv_compact_kernel(KvCompactArgs args, int64_t in_head, Reporter reporter) {
  FORETOKEN_SHARED(int64_t, shared, [kCompactThreads / kWarp]);
  if (!paths_are_valid<kCompactThreads>(args, reporter, shared) || has_error(reporter.record)) return;
  const KvCacheView& cache = args.cache;
  const int64_t sequence = blockIdx.x % cache.sequences;
  const int64_t layer = blockIdx.x / cache.sequences / 2;
  const KvPart part = blockIdx.x / cache.sequences % 2 == 0 ? KvPart::kKeys : KvPart::kValues;
  const int64_t length = args.lengths[sequence], first_row = args.row_offsets[sequence], count = args.counts[sequence];
  const int32_t* const path = args.path + sequence * args.path_stride;

  int64_t in_place = 0;
  while (in_place < count && path[in_place] == first_row + in_place) ++in_place;
  for (int64_t i = threadIdx.x; i < cache.kv_heads * in_head; i += kCompactThreads) {
    const int64_t plane = kv_plane(cache, layer, part, i / in_head, in_head);
    const auto place = [&](int64_t node) -> Unit& {
      return kv_slot<Unit>(pages_of(cache, sequence), plane, length + node, in_head)[i % in_head];
    };
    // Issues several loads before the first store waits for one.
    constexpr int kTogether = 8;
    for (int64_t first = in_place; first < count; first += kTogether) {
      Unit moved[kTogether];
#pragma unroll
      for (int j = 0; j < kTogether; ++j) {
        if (first + j < count) moved[j] = place(path[first + j] - first_row);
      }
#pragma unroll
      for (int j = 0; j < kTogether; ++j) {
        if (first + j < count) place(first + j) = moved[j];
      }
    }
  }
}

// Calls f(Unit{}, units of a head) with the widest unit in which heads can be copied between pages and a matrix at this
// address, if any.
template <typename F>
void with_units(const KvCacheView& cache, const void* matrix, F&& f) {
  const int64_t bytes = cache.head_dim * static_cast<int64_t>(size_of(cache.dtype));
  if (vectors_fit({matrix}, {bytes})) f(Vector<uint32_t, 4>{}, bytes / 16);
  else if (cache.dtype == DType::kBFloat16) f(uint16_t{}, cache.head_dim);
  else f(uint32_t{}, cache.head_dim);
}

}  // namespace

void run(const KvAppendArgs& args, const Context& context) {
  with_units(args.cache, args.qkv, [&](auto unit, int64_t in_head) {
    // One block even without rows: it reports row offsets that claim rows.
    const int64_t most = int64_t{4} * context.multiprocessors, rows = args.tree.rows < 1 ? 1 : args.tree.rows;
    launch(context, kv_append_kernel<decltype(unit)>, dim3(static_cast<unsigned>(rows < most ? rows : most)),
           dim3(kAppendThreads), 0, args, in_head, context.reporter());
  });
}

void run(const KvCompactArgs& args, const Context& context) {
  const KvCacheView& cache = args.cache;
  with_units(cache, nullptr, [&](auto unit, int64_t in_head) {
    launch(context, kv_compact_kernel<decltype(unit)>, dim3(static_cast<unsigned>(cache.layers * 2 * cache.sequences)),
           dim3(kCompactThreads), 0, args, in_head, context.reporter());
  });
}

}  // namespace foretoken::cuda
