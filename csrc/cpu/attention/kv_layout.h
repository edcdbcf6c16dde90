// The layout of one head's keys and values in the cache: planes of capacity * head_dim floats.
//
// Values are rows, [capacity][head_dim]. Keys are in the order in which dot_keys() reads them, in transposed groups of
// kGroup slots, [capacity / kGroup][head_dim][kGroup]; if kGroup does not divide the capacity, the last group is
// narrower. Each slot can be written without changing any other.
#pragma once

#include "csrc/cpu/attention/attention_tiles.h"
#include "csrc/cpu/context.h"

namespace foretoken::cpu::FORETOKEN_ISA {

struct KvPlane {
  float* keys;
  float* values;
  int64_t capacity, head_dim;

  // Number of slots in the group of `slot`.
  int64_t width(int64_t slot) const { return smaller(kGroup, capacity - slot / kGroup * kGroup); }
  // Address of dimension 0 of a slot's key; dimension d is d * width(slot) floats further.
  float* key(int64_t slot) const { return keys + slot / kGroup * kGroup * head_dim + slot % kGroup; }
  float* value(int64_t slot) const { return values + slot * head_dim; }
};

inline KvPlane kv_plane(const KvCacheView& cache, int64_t layer, int64_t sequence, int64_t kv_head) {
  const int64_t plane = cache.capacity * cache.head_dim;
  const int64_t planes = cache.sequences * cache.kv_heads;
  float* const keys = as_floats(cache.data) + ((2 * layer) * planes + sequence * cache.kv_heads + kv_head) * plane;
  return {keys, keys + planes * plane, cache.capacity, cache.head_dim};
}

}  // namespace foretoken::cpu::FORETOKEN_ISA
