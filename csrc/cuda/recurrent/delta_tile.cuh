// A warp's tile of S in registers, and the delta rule on it. The sums over the rows of S are taken by each lane in order and
// then over the lanes, so a row's bits depend on nothing but its own inputs and S of its parent.
#pragma once

#include "csrc/cuda/common/exp.cuh"
#include "csrc/cuda/common/log.cuh"
#include "csrc/cuda/common/numeric.cuh"
#include "csrc/cuda/context.h"
#include "csrc/cuda/recurrent/states.cuh"

namespace foretoken::cuda {

// log(1 + e^x). The sum 1 + e^-|x| is rounded; its quotient with what it stands for corrects the logarithm.
FORETOKEN_DEVICE float softplus(float x) {
  const float e = exp(-fabsf(x)), sum = e + 1.0f, rounded = sum - 1.0f;
  const float larger = x > 0 ? x : 0;
  return rounded == 0 ? larger + e : fmaf(log(sum), e / rounded, larger);
}

// The shares of S that a row keeps and of its value that it writes.
struct Gates {
  float decay, beta;
};

template <typename T>
FORETOKEN_DEVICE Gates gates_of(const DeltaRows& delta, int64_t value_heads, int64_t row, int64_t value_head) {
  const int64_t at = row * value_heads + value_head;
  const float rate = exp(delta.decay[value_head]);
  const float step = softplus(to_float(static_cast<const T*>(delta.a)[at]) + delta.bias[value_head]);
  return {exp(-rate * step), sigmoid(to_float(static_cast<const T*>(delta.b)[at]))};
}

// The inputs of one row that a lane needs, as they lie in memory, so that they can be loaded a row ahead. kKeys is the
// most rows of S that a lane has; the others are zeros.
template <typename T, int kKeys>
struct HeadRow {
  T key[kKeys], query[kKeys], value[kLaneColumns];
};

// Where the lanes of a warp find the inputs of its tile.
template <typename T>
class HeadRows {
 public:
  FORETOKEN_DEVICE HeadRows(const DeltaRows& delta, const RecurrentShape& shape, int64_t value_head, int64_t tile)
      : channels_(shape.channels()), key_distance_(shape.key_heads * shape.key_dim) {
    const int lane = threadIdx.x % kWarp;
    query_ = static_cast<const T*>(delta.qkv) + shape.key_head_of(value_head) * shape.key_dim + lane / kColumnLanes;
    value_ = static_cast<const T*>(delta.qkv) + 2 * key_distance_ + value_head * shape.value_dim + tile * kTile +
             lane % kColumnLanes;
    keys_ = static_cast<int>(shape.key_dim) / kRowGroups;
  }

  template <int kKeys>
  FORETOKEN_DEVICE void load(int64_t row, HeadRow<T, kKeys>& to) const {
    const T* const query = query_ + row * channels_;
#pragma unroll
    for (int i = 0; i < kKeys; ++i) {
      to.query[i] = i < keys_ ? query[i * kRowGroups] : T{};
      to.key[i] = i < keys_ ? query[key_distance_ + i * kRowGroups] : T{};
    }
#pragma unroll
    for (int j = 0; j < kLaneColumns; ++j) to.value[j] = value_[row * channels_ + j * kColumnLanes];
  }

 private:
  const T *query_, *value_;
  int64_t channels_, key_distance_;
  int keys_;
};

// Adds over the row groups; all lanes of a column get the same bits.
FORETOKEN_DEVICE float sum_row_groups(float value) {
#pragma unroll
  for (int distance = kColumnLanes; distance < kWarp; distance *= 2) {
    value += __shfl_xor_sync(kAllLanes, value, distance);
  }
  return value;
}

template <int kKeys>
class DeltaTile {
 public:
  // S of a tile whose rows of S are spread over the lanes, at any address with the layout of a state.
  FORETOKEN_DEVICE void load(const float* tile, int keys) {
#pragma unroll
    for (int i = 0; i < kKeys; ++i) {
#pragma unroll
      for (int j = 0; j < kLaneColumns; ++j) s_[i][j] = i < keys ? tile[(i * kLaneColumns + j) * kWarp] : 0;
    }
  }

  FORETOKEN_DEVICE void store(float* tile, int keys) const {
#pragma unroll
    for (int i = 0; i < kKeys; ++i) {
#pragma unroll
      for (int j = 0; j < kLaneColumns; ++j) {
        if (i < keys) tile[(i * kLaneColumns + j) * kWarp] = s_[i][j];
      }
    }
  }

  // Applies the update of a row if `updates`. `out` are the results of the lane's columns if kWantsOut.
  template <bool kWantsOut, typename T>
  FORETOKEN_DEVICE void step(const HeadRow<T, kKeys>& row, const Gates& gates, float query_factor, bool updates,
                             float (&out)[kLaneColumns]) {
    float squares = 0, query_squares = 0, product = 0, on_key[kLaneColumns] = {}, on_query[kLaneColumns] = {};
#pragma unroll
    for (int i = 0; i < kKeys; ++i) {
      const float key = to_float(row.key[i]);
      squares = fmaf(key, key, squares);
#pragma unroll
      for (int j = 0; j < kLaneColumns; ++j) on_key[j] = fmaf(key, s_[i][j], on_key[j]);
      if constexpr (kWantsOut) {
        const float query = to_float(row.query[i]);
        query_squares = fmaf(query, query, query_squares);
        product = fmaf(query, key, product);
#pragma unroll
        for (int j = 0; j < kLaneColumns; ++j) on_query[j] = fmaf(query, s_[i][j], on_query[j]);
      }
    }
    const float key_scale = 1.0f / sqrtf(sum_row_groups(squares) + 1e-6f);
    float delta[kLaneColumns];
#pragma unroll
    for (int j = 0; j < kLaneColumns; ++j) {
      const float kept = key_scale * sum_row_groups(on_key[j]);
      delta[j] = gates.beta * fmaf(-gates.decay, kept, to_float(row.value[j]));
    }
    if constexpr (kWantsOut) {
      const float query_scale = query_factor / sqrtf(sum_row_groups(query_squares) + 1e-6f);
      const float scaled = query_scale * key_scale * sum_row_groups(product);
#pragma unroll
      for (int j = 0; j < kLaneColumns; ++j) {
        out[j] = fmaf(scaled, delta[j], gates.decay * (query_scale * sum_row_groups(on_query[j])));
      }
    }
    if (!updates) return;
#pragma unroll
    for (int j = 0; j < kLaneColumns; ++j) {
      const float written = key_scale * delta[j];
#pragma unroll
      for (int i = 0; i < kKeys; ++i) s_[i][j] = fmaf(to_float(row.key[i]), written, gates.decay * s_[i][j]);
    }
  }

 private:
  float s_[kKeys][kLaneColumns];
};

// The tile of a warp. A block has up to kTiles of one value head of one sequence.
template <int kTiles>
struct TilePlace {
  FORETOKEN_DEVICE explicit TilePlace(const RecurrentShape& shape) {
    const int64_t tiles = shape.value_dim / kTile, blocks = (tiles + kTiles - 1) / kTiles;
    tile = blockIdx.x % blocks * kTiles + threadIdx.x / kWarp;
    value_head = blockIdx.x / blocks % shape.value_heads;
    sequence = blockIdx.x / blocks / shape.value_heads;
    exists = tile < tiles;
  }

  int64_t sequence, value_head, tile;
  bool exists;
};

template <int kTiles>
dim3 tile_grid(const RecurrentShape& shape, int64_t sequences) {
  return dim3(static_cast<unsigned>(sequences * shape.value_heads * divide_up(shape.value_dim, kTile * kTiles)));
}

// Calls f<T, kKeys>() for a type and the most rows of S that a lane has.
template <typename F>
void with_tiles(const RecurrentShape& shape, DType dtype, F&& f) {
  with_activations(dtype, [&](auto zero) {
    using T = decltype(zero);
    if (shape.key_dim <= 16 * kRowGroups) f.template operator()<T, 16>();
    else f.template operator()<T, 32>();
  });
}

}  // namespace foretoken::cuda
