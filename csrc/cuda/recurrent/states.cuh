// The layout of a recurrent state. A warp has a tile of S: kTile columns of a value head, for all rows of S. Lane 4g + c has rows g,
// g + 8, g + 16, … of columns c and c + 4. A tile lies in memory as the lanes have it, [key_dim / 8, 2, 32], so that
// warps read and write whole lines.
#pragma once

#include "csrc/core/ops.h"
#include "csrc/cuda/common/reduce.cuh"

namespace foretoken::cuda {

constexpr int kTile = 8, kLaneColumns = 2, kColumnLanes = kTile / kLaneColumns, kRowGroups = kWarp / kColumnLanes;

// The first element of a tile, of this lane.
FORETOKEN_DEVICE float* tile_of(const RecurrentView& states, int64_t sequence, int64_t value_head, int64_t tile) {
  const RecurrentShape& shape = states.shape;
  return states.blocks[sequence] + states.layer_offset + value_head * shape.head_floats() +
         tile * kTile * shape.key_dim + threadIdx.x % kWarp;
}

// The last inputs of a sequence's convolution, [taps - 1, channels].
FORETOKEN_DEVICE float* last_inputs(const RecurrentView& states, int64_t sequence) {
  return states.blocks[sequence] + states.layer_offset + states.shape.value_heads * states.shape.head_floats();
}

}  // namespace foretoken::cuda
