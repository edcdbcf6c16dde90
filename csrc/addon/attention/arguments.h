// Reads the arguments that several attention operations share.
#pragma once

#include "csrc/addon/call.h"

namespace foretoken {

// Reads heads, kvHeads, headDim and scale.
AttentionShape attention_shape(Call& call);

// Refuses a qkv whose rows do not hold the heads of `shape`.
void check_qkv(const Call& call, const Tensor& qkv, const AttentionShape& shape);

// Reads rowOffsets, lengths and parents.
TreeRows tree_rows(Call& call, int64_t rows, const KvCache& cache);

}  // namespace foretoken
