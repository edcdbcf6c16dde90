#include "csrc/cpu/attention/attention_tiles.h"

#include "csrc/cpu/linear/pack.h"

namespace foretoken::cpu::FORETOKEN_ISA {
namespace {

// Number of sums that a tile holds in registers: enough to hide the latency of multiply-adds, few enough to leave
// registers for the operands.
#if defined(__AVX512F__) || defined(__ARM_NEON)
constexpr int kSums = 16;
#else
constexpr int kSums = 8;
#endif
constexpr int kGroupVectors = kGroup / kLanes;
constexpr int kDotRows = kSums / (kGroupVectors > 2 ? kGroupVectors : 2);
constexpr int kWeightedRows = kSums / 2;

// Multiplies kRows queries with kGroups groups of keys.
template <int kRows, int kGroups>
[[gnu::noinline]] void dot_tile(const float* queries, int64_t dim, const float* keys, float* out, int64_t out_stride) {
  constexpr int kVectors = kGroups * kGroupVectors;
  Vec sums[kRows][kVectors] = {};
  for (int64_t d = 0; d < dim; ++d) {
    Vec key[kVectors];
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) {
      key[v] = load(keys + v / kGroupVectors * dim * kGroup + d * kGroup + v % kGroupVectors * kLanes);
    }
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const Vec query = broadcast(queries[r * dim + d]);
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v) sums[r][v] = fma(query, key[v], sums[r][v]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) store(out + r * out_stride + v * kLanes, sums[r][v]);
  }
}

template <int kRows, int kGroups>
inline void dot_groups(const float* queries, int64_t dim, const float* keys, int64_t groups, float* out,
                       int64_t out_stride) {
  for (; groups >= kGroups; groups -= kGroups) {
    dot_tile<kRows, kGroups>(queries, dim, keys, out, out_stride);
    keys += kGroups * dim * kGroup;
    out += kGroups * kGroup;
  }
  if constexpr (kGroups > 1) dot_groups<kRows, kGroups / 2>(queries, dim, keys, groups, out, out_stride);
}

template <int kRows>
inline void dot_rows(const float* queries, int64_t rows, int64_t dim, const float* keys, int64_t groups, float* out,
                     int64_t out_stride) {
  for (; rows >= kRows; rows -= kRows) {
    dot_groups<kRows, kSums / kGroupVectors / kRows>(queries, dim, keys, groups, out, out_stride);
    queries += kRows * dim;
    out += kRows * out_stride;
  }
  if constexpr (kRows > 1) dot_rows<kRows / 2>(queries, rows, dim, keys, groups, out, out_stride);
}

// Access to weights and values; see add_weighted() and add_weighted_transposed().
struct ByRow {
  int64_t stride;
  const float* at(const float* weights, int64_t row, int64_t j) const { return weights + row * stride + j; }
  int64_t slot(int64_t j) const { return j; }
};
struct BySlot : ByRow {
  const int32_t* slots;
  int64_t slot(int64_t j) const { return slots[j]; }
};
struct ByColumn {
  int64_t stride;
  const float* at(const float* weights, int64_t row, int64_t j) const { return weights + j * stride + row; }
  int64_t slot(int64_t j) const { return j; }
};

// Adds to kRows sums of kVectors vectors; of the last vector only `lanes` lanes unless kWhole.
template <int kRows, int kVectors, bool kWhole, typename Access>
[[gnu::noinline]] void weighted_tile(const Access access, int64_t count, int64_t dim, const float* weights,
                                     const float* values, float* out, int lanes) {
  Vec sums[kRows][kVectors];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) {
      const float* from = out + r * dim + v * kLanes;
      sums[r][v] = kWhole ? load(from) : load_n(from, lanes);
    }
  }
  for (int64_t j = 0; j < count; ++j) {
    const float* from = values + access.slot(j) * dim;
    Vec value[kVectors];
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) value[v] = kWhole ? load(from + v * kLanes) : load_n(from, lanes);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const Vec weight = broadcast(*access.at(weights, r, j));
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v) sums[r][v] = fma(weight, value[v], sums[r][v]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) {
      float* to = out + r * dim + v * kLanes;
      if (kWhole) store(to, sums[r][v]);
      else store_n(to, sums[r][v], lanes);
    }
  }
}

// Processes dimensions `done` … dim - 1.
template <int kRows, int kVectors, typename Access>
inline void weighted_columns(const Access& access, const WeightedSum& s, const float* weights, float* out,
                             int64_t done) {
  for (; s.dim - done >= kVectors * kLanes; done += kVectors * kLanes) {
    weighted_tile<kRows, kVectors, true>(access, s.count, s.dim, weights, s.values + done, out + done, kLanes);
  }
  if constexpr (kVectors > 1) {
    weighted_columns<kRows, kVectors / 2>(access, s, weights, out, done);
  } else if (done < s.dim) {
    const int lanes = static_cast<int>(s.dim - done);
    weighted_tile<kRows, 1, false>(access, s.count, s.dim, weights, s.values + done, out + done, lanes);
  }
}

template <int kRows, typename Access>
inline void weighted_rows(const Access& access, const WeightedSum& s, int64_t row) {
  for (; s.rows - row >= kRows; row += kRows) {
    weighted_columns<kRows, kSums / kRows>(access, s, access.at(s.weights, row, 0), s.out + row * s.dim, 0);
  }
  if constexpr (kRows > 1) weighted_rows<kRows / 2>(access, s, row);
}

}  // namespace

void group_keys(const float* keys, int64_t stride, int64_t count, int64_t dim, float* out) {
  for (int64_t first = 0; first < groups_of(count) * kGroup; first += kLanes) {
    float* const to = out + first / kGroup * dim * kGroup + first % kGroup;
    pack_strip(keys + first * stride, stride, 1, lanes_of(count - first), dim, to, kGroup);
  }
}

void dot_keys(const float* queries, int64_t rows, int64_t dim, const float* keys, int64_t groups, float* out,
              int64_t out_stride) {
  dot_rows<kDotRows>(queries, rows, dim, keys, groups, out, out_stride);
}

void add_weighted(const WeightedSum& sum, const int32_t* slots) {
  if (slots) {
    weighted_rows<kWeightedRows>(BySlot{{sum.weight_stride}, slots}, sum, 0);
  } else {
    weighted_rows<kWeightedRows>(ByRow{sum.weight_stride}, sum, 0);
  }
}

void add_weighted_transposed(const WeightedSum& sum) {
  weighted_rows<kWeightedRows>(ByColumn{sum.weight_stride}, sum, 0);
}

float row_max(const float* x, int64_t begin, int64_t end) {
  Vec result = broadcast(x[begin]);
  int64_t i = begin;
  for (; i + kLanes <= end; i += kLanes) result = max(result, load(x + i));
  float largest_left = x[begin];
  for (; i < end; ++i) largest_left = x[i] > largest_left ? x[i] : largest_left;
  return largest(max(broadcast(largest_left), result));
}

float exponentiate(float* x, int64_t begin, int64_t end, int64_t padded, float shift) {
  const int64_t first = begin / kLanes * kLanes;
  int64_t i = 0;
  for (; i < first; i += kLanes) store(x + i, Vec{});
  Vec total{};
  for (; i < end; i += kLanes) {
    const IVec index = iota() + static_cast<int32_t>(i);
    const IVec inside = (index >= static_cast<int32_t>(begin)) & (index < static_cast<int32_t>(end));
    const Vec value = inside ? exp(load(x + i) - shift) : Vec{};
    store(x + i, value);
    total += value;
  }
  for (; i < padded; i += kLanes) store(x + i, Vec{});
  return sum(total);
}

}  // namespace foretoken::cpu::FORETOKEN_ISA
