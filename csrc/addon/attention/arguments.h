// Reads the arguments that several attention operations share.
#pragma once

#include "csrc/addon/call.h"

namespace foretoken {

// Reads heads, kvHeads, headDim, scale and window.
AttentionShape attention_shape(Call& call);

// Refuses a qkv whose rows do not hold the heads of `shape`.
void check_qkv(const Call& call, const Tensor& qkv, const AttentionShape& shape);

// Returns how many sequences a call is about, which is the length of the tensor `name`: the first ones of at most `most`.
int64_t first_sequences(const Call& call, const Tensor& tensor, const char* name, int64_t most);

// Reads rowOffsets, lengths and parents.
TreeRows tree_rows(Call& call, int64_t rows, const KvCache& cache);

}  // namespace foretoken
