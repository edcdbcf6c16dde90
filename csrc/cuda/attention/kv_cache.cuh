// How the KV cache lies in memory: for every layer, keys and values, sequence and head a plane of rows, [capacity,
// head_dim], as the cache's dimensions say.
#pragma once

#include "csrc/core/ops.h"
#include "csrc/cuda/platform.h"

namespace foretoken::cuda {

enum class KvPart { kKeys, kValues };

// The elements of the cache before a plane; where elements are copied in larger units, units.
FORETOKEN_DEVICE int64_t kv_plane(const KvCacheView& cache, int64_t layer, KvPart part, int64_t sequence, int64_t head,
                                  int64_t units_in_slot) {
  const int64_t parts = 2 * layer + static_cast<int64_t>(part);
  return ((parts * cache.sequences + sequence) * cache.kv_heads + head) * cache.capacity * units_in_slot;
}

}  // namespace foretoken::cuda
