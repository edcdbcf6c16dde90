// A warp's work on a unit of positions: the scores of the tile's queries, then their sums of values. float32 takes
// multiply-adds, each lane with its own positions and then its own dimensions; bfloat16 takes tensor cores. Lanes load
// keys and values straight from the cache into registers, 16 bytes of a slot at a time.
#pragma once

#include "csrc/cuda/attention/kv_cache.cuh"
#include "csrc/cuda/attention/tree_attention.cuh"
#include "csrc/cuda/common/rows.cuh"

namespace foretoken::cuda::tree_attention {

// Dimensions of values that are summed at a time.
constexpr int kDims = 64;

// A query of a tile: its offset in qkv, and the first position of its window.
struct QueryPlace {
  int64_t offset;
  int32_t first;
};

// The memory that all units of a tile read.
template <typename T>
struct Source {
  const T* queries;          // row 0
  const QueryPlace* places;  // [kQueries]: of the tile's queries; entries after the last repeat it
  void* const* pages;        // of the sequence
  int64_t keys, values;      // places of the planes in a page
  int64_t head_dim;
  float scale;
};

// One pass of a warp over its unit.
struct Pass {
  int begin, end;        // the queries whose results the warp keeps
  const int32_t* slots;  // [kUnit], -1 after the last position
  int positions;         // at least 1
};

// Finds the slots that a warp's unit reads. Most lie in the page of the unit's first position.
template <typename T>
class Slots {
 public:
  FORETOKEN_DEVICE Slots(const Source<T>& source, int32_t first)
      : source_(source), number_(first / kUnit), page_(static_cast<const T*>(source.pages[number_])) {
    static_assert(kUnit == kKvPage);
  }

  // The first element of a slot in the plane at this place.
  FORETOKEN_DEVICE const T* at(int64_t plane, int32_t slot) const {
    const int32_t number = slot / kUnit;
    const T* const page = number == number_ ? page_ : static_cast<const T*>(source_.pages[number]);
    return page + plane + slot % kUnit * source_.head_dim;
  }
  FORETOKEN_DEVICE const T* key(int32_t slot) const { return at(source_.keys, slot); }
  FORETOKEN_DEVICE const T* value(int32_t slot) const { return at(source_.values, slot); }

 private:
  const Source<T>& source_;
  const int32_t number_;
  const T* const page_;
};

// Sums of the unit, for each query of the tile.
using Sums = float[kQueries][kDims + 4];  // padded, so that lanes write to different banks

// The unit that begins at position `first`. kVectors: queries and slots begin at multiples of 16 bytes, and their lengths
// are multiples of 16 bytes. `passes(f)` calls f with every pass.
template <typename T, bool kVectors>
class Unit;

template <bool kVectors>
class Unit<float, kVectors> {
 public:
  struct Memory {
    float weights[kQueries][kUnit];
  };

  FORETOKEN_DEVICE Unit(const Source<float>& source, int32_t first, Memory& memory)
      : source_(source), slots_(source, first), first_(first), weights_(memory.weights) {}

  // Writes the softmax of each query, and keeps the exponentials as weights.
  template <typename Passes>
  FORETOKEN_DEVICE void score(const Passes& passes, Softmax* softmax) {
    passes([&](const Pass& pass) {
      const float* keys[2];
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        const int32_t slot = pass.slots[lane_ + h * kWarp];
        keys[h] = slots_.key(slot < 0 ? pass.slots[0] : slot);
      }
      float scores[kQueries][2] = {};
      for (int64_t dim = 0; dim < source_.head_dim; dim += 4) {
        float key[2][4];
#pragma unroll
        for (int h = 0; h < 2; ++h) load_columns<kVectors>(keys[h], dim, source_.head_dim, key[h]);
#pragma unroll
        for (int q = 0; q < kQueries; ++q) {
          if (q < pass.begin || q >= pass.end) continue;
          float query[4];
          load_columns<kVectors>(source_.queries + source_.places[q].offset, dim, source_.head_dim, query);
#pragma unroll
          for (int i = 0; i < 8; ++i) scores[q][i / 4] = fmaf(query[i % 4], key[i / 4][i % 4], scores[q][i / 4]);
        }
      }
#pragma unroll
      for (int q = 0; q < kQueries; ++q) {
        if (q < pass.begin || q >= pass.end) continue;
#pragma unroll
        for (int h = 0; h < 2; ++h) {
          const int place = lane_ + h * kWarp;
          const bool is_seen = place < pass.positions && first_ + place >= source_.places[q].first;
          scores[q][h] = is_seen ? __fmul_rn(scores[q][h], source_.scale) : -INFINITY;
        }
        const float largest = reduce_warp(fmaxf(scores[q][0], scores[q][1]), Max());
        float sum = 0;
#pragma unroll
        for (int h = 0; h < 2; ++h) {
          const float weight = exp(scores[q][h] - reference_of(largest));
          weights_[q][lane_ + h * kWarp] = weight;
          sum += weight;
        }
        sum = reduce_warp(sum, Sum());
        if (lane_ == 0) softmax[q] = {largest, sum};
      }
    });
    __syncwarp();
  }

  // Writes the weighted sums of values in the dimensions `dim` … dim + kDims - 1.
  template <typename Passes>
  FORETOKEN_DEVICE void weigh(const Passes& passes, int64_t dim, Sums& sums) const {
    constexpr int kTogether = 4;
    const int64_t column = dim + 2 * lane_;
    passes([&](const Pass& pass) {
      float sum[kQueries][2] = {};
      for (int first = 0; first < pass.positions; first += kTogether) {
        float value[kTogether][2] = {};
#pragma unroll
        for (int i = 0; i < kTogether; ++i) {
          const int32_t slot = pass.slots[first + i];
          if (slot < 0 || column >= source_.head_dim) continue;
          load_columns<kVectors>(slots_.value(slot), column, source_.head_dim, value[i]);
        }
#pragma unroll
        for (int q = 0; q < kQueries; ++q) {
          if (q < pass.begin || q >= pass.end) continue;
          float weight[kTogether];
          load<kTogether>(&weights_[q][first], weight);
#pragma unroll
          for (int i = 0; i < 2 * kTogether; ++i)
            sum[q][i % 2] = fmaf(weight[i / 2], value[i / 2][i % 2], sum[q][i % 2]);
        }
      }
#pragma unroll
      for (int q = 0; q < kQueries; ++q) {
        if (q >= pass.begin && q < pass.end) store<2>(&sums[q][2 * lane_], sum[q]);
      }
    });
  }

 private:
  const Source<float>& source_;
  const Slots<float> slots_;
  const int32_t first_;
  float (&weights_)[kQueries][kUnit];
  const int lane_ = threadIdx.x % kWarp;
};

// With g = lane / 4 and t = lane % 4, a lane holds queries g and g + 8. The sum over dimensions may take any order that
// is the same for queries and keys, so lane t multiplies the eight dimensions that it loads at once. The dimensions of
// the output may stand in any order, too: a lane loads eight of them for each of its positions, and passes each to
// another product.
template <bool kVectors>
class Unit<BFloat16, kVectors> {
 public:
  struct Memory {};

  FORETOKEN_DEVICE Unit(const Source<BFloat16>& source, int32_t first, Memory&)
      : source_(source), slots_(source, first), first_(first) {}

  template <typename Passes>
  FORETOKEN_DEVICE void score(const Passes& passes, Softmax* softmax) {
    passes([&](const Pass& pass) {
      float scores[kUnit / 8][4] = {};
      multiply(pass, scores);
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int query = g_ + 8 * half, hidden = source_.places[query].first - first_;
        float largest = -INFINITY;
#pragma unroll
        for (int i = 0; i < kUnit / 4; ++i) {
          float& score = scores[i / 2][2 * half + i % 2];
          const int place = i / 2 * 8 + 2 * t_ + i % 2;
          score = place < pass.positions && place >= hidden ? __fmul_rn(score, source_.scale) : -INFINITY;
          largest = fmaxf(largest, score);
        }
        largest = reduce_quad(largest, Max());
        const bool is_mine = query >= pass.begin && query < pass.end;
        float sum = 0;
#pragma unroll
        for (int j = 0; j < kUnit / 8; ++j) {
          const uint32_t pair = ptx::bfloat16x2_of_floats(exp_or_zero(scores[j][2 * half] - reference_of(largest)),
                                                          exp_or_zero(scores[j][2 * half + 1] - reference_of(largest)));
          // Sums the rounded weights, so that these add up to one.
          sum += __uint_as_float(pair << 16) + __uint_as_float(pair & 0xffff0000u);
          uint32_t& weight = weights_[j / 2][j % 2 * 2 + half];
          weight = is_mine ? pair : weight;
        }
        sum = reduce_quad(sum, Sum());
        if (is_mine && t_ == 0) softmax[query] = {largest, sum};
      }
    });
  }

  template <typename Passes>
  FORETOKEN_DEVICE void weigh(const Passes& passes, int64_t dim, Sums& sums) const {
    passes([&](const Pass& pass) {
      float product[8][4] = {};
      // Issues all loads before the first use waits for one. Positions after the last have weight zero.
      uint32_t values[kUnit / 16][4][4];
#pragma unroll
      for (int k = 0; k < kUnit / 16; ++k) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int32_t slot = pass.slots[16 * k + 2 * t_ + i / 2 * 8 + i % 2];
          load_eight(slots_.value(slot < 0 ? pass.slots[0] : slot), dim + 8 * g_, values[k][i]);
        }
      }
#pragma unroll
      for (int k = 0; k < kUnit / 16; ++k) {
#pragma unroll
        for (int i = 0; i < 8; ++i) {
          const uint32_t pairs[2] = {pair_of(values[k][0], values[k][1], i), pair_of(values[k][2], values[k][3], i)};
          ptx::mma_m16n8k16_bf16(product[i], weights_[k], pairs);
        }
      }
      // Column 2t + e of product i is dimension 8 (2t + e) + i.
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int query = g_ + 8 * half;
        if (query < pass.begin || query >= pass.end) continue;
#pragma unroll
        for (int i = 0; i < 16; i += 4) {
          float four[4];
#pragma unroll
          for (int j = 0; j < 4; ++j) four[j] = product[i % 8 + j][2 * half + i / 8];
          store<4>(&sums[query][16 * t_ + i], four);
        }
      }
    });
  }

 private:
  // Computes scores[j] of positions 8j … 8j + 7, without the scale.
  FORETOKEN_DEVICE void multiply(const Pass& pass, float (&scores)[kUnit / 8][4]) const {
    const BFloat16* queries[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) queries[half] = source_.queries + source_.places[g_ + 8 * half].offset;
    const BFloat16* slots[kUnit / 8];
#pragma unroll
    for (int j = 0; j < kUnit / 8; ++j) {
      const int32_t slot = pass.slots[8 * j + g_];
      slots[j] = slots_.key(slot < 0 ? pass.slots[0] : slot);
    }
#pragma unroll 2
    for (int64_t dim = 8 * t_; dim - 8 * t_ < source_.head_dim; dim += 32) {
      uint32_t query[2][4], keys[kUnit / 8][4];
#pragma unroll
      for (int half = 0; half < 2; ++half) load_eight(queries[half], dim, query[half]);
#pragma unroll
      for (int j = 0; j < kUnit / 8; ++j) load_eight(slots[j], dim, keys[j]);
#pragma unroll
      for (int i = 0; i < 4; i += 2) {
        const uint32_t rows[4] = {query[0][i], query[1][i], query[0][i + 1], query[1][i + 1]};
#pragma unroll
        for (int j = 0; j < kUnit / 8; ++j) {
          const uint32_t columns[2] = {keys[j][i], keys[j][i + 1]};
          ptx::mma_m16n8k16_bf16(scores[j], rows, columns);
        }
      }
    }
  }

  // Loads elements dim … dim + 7 of a query or slot, with zeros after its end.
  FORETOKEN_DEVICE void load_eight(const BFloat16* row, int64_t dim, uint32_t (&pairs)[4]) const {
    if constexpr (kVectors) {
      Vector<uint32_t, 4> eight{};
      if (dim < source_.head_dim) eight = *reinterpret_cast<const Vector<uint32_t, 4>*>(row + dim);
#pragma unroll
      for (int i = 0; i < 4; ++i) pairs[i] = eight.elements[i];
    } else {
      const auto element = [&](int64_t d) -> uint32_t { return d < source_.head_dim ? row[d].bits : 0; };
#pragma unroll
      for (int i = 0; i < 4; ++i) pairs[i] = element(dim + 2 * i) | element(dim + 2 * i + 1) << 16;
    }
  }

  // Element i of each of two vectors of eight.
  FORETOKEN_DEVICE static uint32_t pair_of(const uint32_t (&low)[4], const uint32_t (&high)[4], int i) {
    return i % 2 == 0 ? (low[i / 2] & 0xffff) | high[i / 2] << 16 : low[i / 2] >> 16 | (high[i / 2] & 0xffff0000u);
  }

  const Source<BFloat16>& source_;
  const Slots<BFloat16> slots_;
  const int32_t first_;
  const int g_ = threadIdx.x % kWarp / 4, t_ = threadIdx.x % 4;
  uint32_t weights_[kUnit / 16][4] = {};  // of all queries, in the layout of mma's left operand
};

}  // namespace foretoken::cuda::tree_attention
