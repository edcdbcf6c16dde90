// The layout of the KV cache: a plane of slots, [capacity, head_dim], for every layer, keys or values, sequence and
// head.
#pragma once

#include "csrc/core/ops.h"
#include "csrc/cuda/platform.h"

namespace foretoken::cuda {

enum class KvPart { kKeys, kValues };

// The offset of a plane, in units of which a slot has `units_in_slot`: elements, or the larger units in which a kernel
// copies.
FORETOKEN_DEVICE int64_t kv_plane(const KvCacheView& cache, int64_t layer, KvPart part, int64_t sequence, int64_t head,
                                  int64_t units_in_slot) {
  const int64_t parts = 2 * layer + static_cast<int64_t>(part);
  return ((parts * cache.sequences + sequence) * cache.kv_heads + head) * cache.capacity * units_in_slot;
}

}  // namespace foretoken::cuda
