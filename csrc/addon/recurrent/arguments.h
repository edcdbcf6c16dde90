// Reads the arguments that several operations of recurrent layers share.
#pragma once

#include "csrc/addon/call.h"

namespace foretoken {

// Reads the number of a layer, and returns the states of that layer.
RecurrentView layer_of(Call& call, const RecurrentStates& states);

// Reads activations, and refuses rows without the channels of `shape`.
const Tensor& channel_rows(Call& call, const char* name, const RecurrentShape& shape);

// Reads a, b, decay and bias, which belong to the rows of qkv.
DeltaRows delta_rows(Call& call, const Tensor& qkv, const RecurrentShape& shape);

// Reads rowOffsets, lengths and parents. Only the number of lengths matters.
TreeRows state_rows(Call& call, int64_t rows, const RecurrentStates& states);

}  // namespace foretoken
