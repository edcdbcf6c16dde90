// The layout of a page of the KV cache: a plane of slots, [kKvPage, head_dim], for every layer, keys or values, and head.
#pragma once

#include "csrc/core/ops.h"
#include "csrc/cuda/platform.h"

namespace foretoken::cuda {

enum class KvPart { kKeys, kValues };

// The offset of a plane in a page, in units of which a slot has `units_in_slot`: elements, or the larger units in which
// a kernel copies.
FORETOKEN_DEVICE int64_t kv_plane(const KvCacheView& cache, int64_t layer, KvPart part, int64_t head,
                                  int64_t units_in_slot) {
  const int64_t parts = 2 * layer + static_cast<int64_t>(part);
  return (parts * cache.kv_heads + head) * kKvPage * units_in_slot;
}

// The pages of a sequence.
FORETOKEN_DEVICE void* const* pages_of(const KvCacheView& cache, int64_t sequence) {
  return cache.pages + sequence * cache.blocks;
}

// The first unit of a slot, in a plane at this offset.
template <typename Unit>
FORETOKEN_DEVICE Unit* kv_slot(void* const* pages, int64_t plane, int64_t slot, int64_t units_in_slot) {
  return static_cast<Unit*>(pages[slot / kKvPage]) + plane + slot % kKvPage * units_in_slot;
}

}  // namespace foretoken::cuda
