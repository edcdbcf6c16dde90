// The layout of a recurrent state: the matrix S of a head lies in panels of kPanel columns, [value_dim / kPanel, key_dim,
// kPanel], on every level, so that the columns of a slice are read in the order of memory.
#pragma once

#include "csrc/cpu/context.h"
#include "csrc/cpu/simd.h"

namespace foretoken::cpu::FORETOKEN_ISA {

inline constexpr int64_t kPanel = 16;

// The last inputs of a sequence's convolution, [taps - 1, channels].
inline float* last_inputs(const RecurrentView& states, int64_t sequence) {
  return states.blocks[sequence] + states.layer_offset + states.shape.value_heads * states.shape.head_floats();
}

// S of one value head, from a column on that begins a panel.
inline float* columns_of(const RecurrentView& states, int64_t sequence, int64_t value_head, int64_t column) {
  const RecurrentShape& shape = states.shape;
  return states.blocks[sequence] + states.layer_offset + value_head * shape.head_floats() + column * shape.key_dim;
}

}  // namespace foretoken::cpu::FORETOKEN_ISA
