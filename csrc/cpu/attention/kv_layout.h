// The layout of a page of the cache: for every layer a part of keys and then one of values, each with a plane of kKvPage
// slots for every head.
//
// Values are rows, [kKvPage][head_dim]. Keys are in the order in which dot_keys() reads them, in transposed groups of
// kGroup slots, [kKvPage / kGroup][head_dim][kGroup]. Each slot can be written without changing any other.
#pragma once

#include "csrc/cpu/attention/attention_tiles.h"
#include "csrc/cpu/context.h"

namespace foretoken::cpu::FORETOKEN_ISA {

static_assert(kKvPage % kGroup == 0);

// The keys and values of one head in one layer of one sequence.
struct KvHead {
  void* const* pages;
  int64_t first_key, first_value;  // the places of both planes in a page
  int64_t head_dim;

  const float* keys_of(int64_t page) const { return as_floats(pages[page]) + first_key; }
  const float* values_of(int64_t page) const { return as_floats(pages[page]) + first_value; }
  // Address of dimension 0 of a slot's key; dimension d is d * kGroup floats further.
  float* key(int64_t slot) const {
    const int64_t place = slot % kKvPage;
    return as_floats(pages[slot / kKvPage]) + first_key + place / kGroup * kGroup * head_dim + place % kGroup;
  }
  float* value(int64_t slot) const {
    return as_floats(pages[slot / kKvPage]) + first_value + slot % kKvPage * head_dim;
  }
};

inline KvHead kv_head_of(const KvCacheView& cache, int64_t layer, int64_t sequence, int64_t kv_head) {
  const int64_t plane = kKvPage * cache.head_dim, first = (2 * layer * cache.kv_heads + kv_head) * plane;
  return {cache.pages + sequence * cache.blocks, first, first + cache.kv_heads * plane, cache.head_dim};
}

}  // namespace foretoken::cpu::FORETOKEN_ISA
