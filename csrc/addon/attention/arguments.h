// Reads the arguments that several attention operations share.
#pragma once

#include "csrc/addon/call.h"

namespace foretoken {

// Reads heads, kvHeads, headDim and scale, from `index` on.
AttentionShape attention_shape(const Call& call, size_t index);

// Refuses a qkv whose rows do not hold the heads of `shape`.
void check_qkv(const Call& call, const Tensor& qkv, const AttentionShape& shape);

// Reads the cache, a tensor [layers, 2, sequences, kvHeads, capacity, headDim].
KvCacheView cache_view(Call& call, size_t index);

// Reads rowOffsets, lengths and parents, from `index` on.
TreeRows tree_rows(Call& call, size_t index, int64_t rows, const KvCacheView& cache);

}  // namespace foretoken
