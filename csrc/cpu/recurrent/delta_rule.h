// The delta rule on a slice of S: some columns, for all rows of S. Columns are lanes, and sums over the rows of S are taken in
// two strands, the even rows and the odd ones, which are then added. So a column has the same bits in every slice and
// on every level with fused multiply-adds.
#pragma once

#include "csrc/cpu/recurrent/delta_rows.h"
#include "csrc/cpu/recurrent/states.h"

namespace foretoken::cpu::FORETOKEN_ISA {

// Vectors of a slice: as many as keep the multiply-adds busy. A slice has whole panels.
inline constexpr int kSliceVecs = kLanes < 8 ? kPanel / kLanes : 2;
inline constexpr int64_t kSlice = kSliceVecs * kLanes;
static_assert(kSlice % kPanel == 0);

inline int64_t slices_of(const RecurrentShape& shape) { return divide_up(shape.value_dim, kSlice); }

// S ← decay * S + key deltaᵀ
template <int kVecs>
struct Update {
  const float* key;
  Vec decay;
  Vec delta[kVecs];
};

// Products of a row's key and query with S.
template <int kVecs>
struct Products {
  Vec key[kVecs], query[kVecs];
};

enum class Wanted { kNothing, kKey, kKeyAndQuery };

// Reads a slice of S, applies `update` and writes the result to `to` if kUpdates, and computes the products of the result
// with `key` and `query`. `to` may be `from`.
template <int kVecs, bool kUpdates, Wanted kWanted>
inline void pass(const float* from, float* to, int64_t key_dim, const Update<kVecs>& update, const float* key,
                 const float* query, Products<kVecs>& products) {
  constexpr int kStrands = 2;
  Vec keys[kStrands][kVecs] = {}, queries[kStrands][kVecs] = {};
  int64_t place[kVecs];
  for (int v = 0; v < kVecs; ++v) place[v] = v * kLanes / kPanel * kPanel * key_dim + v * kLanes % kPanel;
  for (int64_t first = 0; first < key_dim; first += kStrands) {
#pragma GCC unroll 2
    for (int strand = 0; strand < kStrands; ++strand) {
      const int64_t row = first + strand;
#pragma GCC unroll 4
      for (int v = 0; v < kVecs; ++v) {
        Vec value = load(from + place[v] + row * kPanel);
        if constexpr (kUpdates) {
          value = fma(broadcast(update.key[row]), update.delta[v], update.decay * value);
          store(to + place[v] + row * kPanel, value);
        }
        if constexpr (kWanted != Wanted::kNothing) keys[strand][v] = fma(broadcast(key[row]), value, keys[strand][v]);
        if constexpr (kWanted == Wanted::kKeyAndQuery) {
          queries[strand][v] = fma(broadcast(query[row]), value, queries[strand][v]);
        }
      }
    }
  }
#pragma GCC unroll 4
  for (int v = 0; v < kVecs; ++v) {
    products.key[v] = keys[0][v] + keys[1][v];
    products.query[v] = queries[0][v] + queries[1][v];
  }
}

// One row of one value head, from the first column of a slice on.
struct HeadRow {
  HeadRow(const DeltaRows& delta, const PreparedRows& prepared, int64_t row, int64_t value_head, int64_t column) {
    const RecurrentShape& shape = prepared.shape;
    const int64_t key_place = row * shape.key_heads + shape.key_head_of(value_head);
    const int64_t gate_place = row * shape.value_heads + value_head;
    key = prepared.keys + key_place * shape.key_dim;
    query = prepared.queries + key_place * shape.key_dim;
    value = as_floats(delta.qkv) + row * shape.channels() + 2 * shape.key_heads * shape.key_dim +
            value_head * shape.value_dim + column;
    decay = prepared.decays[gate_place];
    beta = prepared.betas[gate_place];
    product = prepared.products[key_place];
  }

  const float *key, *query, *value;
  float decay, beta, product;
};

// Returns the update of a row, from the products of its key with S of its parent.
template <int kVecs>
inline Update<kVecs> update_of(const HeadRow& row, const Products<kVecs>& products) {
  Update<kVecs> update;
  update.key = row.key;
  update.decay = broadcast(row.decay);
  for (int v = 0; v < kVecs; ++v) {
    update.delta[v] = row.beta * fma(-update.decay, products.key[v], load(row.value + v * kLanes));
  }
  return update;
}

// Calls f<kVecs>() with the number of vectors of the slice that begins at `column`.
template <typename F>
inline void with_slice(const RecurrentShape& shape, int64_t column, F&& f) {
  if (shape.value_dim - column >= kSlice) f.template operator()<kSliceVecs>();
  else f.template operator()<kPanel / kLanes>();
}

}  // namespace foretoken::cpu::FORETOKEN_ISA
