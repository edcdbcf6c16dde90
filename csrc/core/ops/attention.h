// Attention of training and of draft trees, and the KV cache.
#pragma once

#include <cstdint>

#include "csrc/core/ops/operands.h"

namespace foretoken {

// A row of qkv holds `heads` query heads, then `kv_heads` key heads, then `kv_heads` value heads.
struct AttentionShape {
  int64_t heads, kv_heads, head_dim;  // heads is a multiple of kv_heads
  float scale;                        // of the scores
  int32_t window;                     // how many last positions a row attends to, its own included; at least 1
};

// Causal self-attention over packed documents. Position t of a sequence attends to the last `window` positions of
// starts[t] … t, where starts[t] is the index, within the sequence, of the first token of t's document.
struct AttentionArgs {
  const void* qkv;        // [batch * length, (heads + 2*kv_heads) * head_dim]
  const int32_t* starts;  // [batch * length], 0 ≤ starts[t] ≤ t
  void* out;              // [batch * length, heads * head_dim]
  float* lse;             // [batch * length, heads]: log of the softmax denominator, kept for the gradient
  int64_t batch, length;
  AttentionShape shape;
  DType dtype;
  Workspace workspace;
};

// The gradient of Attention; shapes are as in AttentionArgs.
struct AttentionBackwardArgs {
  const void* grad_out;  // as out
  const void* qkv;
  const int32_t* starts;
  const void* out;
  const float* lse;
  void* grad_qkv;  // as qkv
  int64_t batch, length;
  AttentionShape shape;
  DType dtype;
  Workspace workspace;
};

// Positions of a page of the KV cache.
constexpr int64_t kKvPage = 64;

// The KV cache of all layers of one model, in pages of [layers, 2 (keys, values), kv_heads, kKvPage, head_dim]. Slot i
// of a sequence lies in its page i / kKvPage. How keys and values lie within one [kKvPage, head_dim] is private to the
// backend.
struct KvCacheView {
  void* const* pages;       // [sequences, blocks], in device memory; undefined behind the pages of a sequence
  const int32_t* reserved;  // [sequences]: slots that each sequence has, at most kKvPage for each of its pages
  int64_t layers, sequences, kv_heads, blocks, head_dim;
  DType dtype;
};

// The nodes of one draft tree per sequence as rows of a forward pass, one sequence after another: sequence s has rows
// row_offsets[s] … row_offsets[s+1] - 1 and lengths[s] committed positions in the cache. A parent precedes its
// children. Row r's keys and values lie in slot lengths[s] + (r - row_offsets[s]); its position is lengths[s] +
// depth(r). Rows from row_offsets[sequences] on are padding: nothing reads their parents and tokens, no cache gets them.
struct TreeRows {
  const int32_t* row_offsets;  // [sequences + 1]
  const int32_t* lengths;      // [sequences]
  const int32_t* parents;      // [rows]: the row of r's parent, or -1 if that is the last committed position
  int64_t rows, sequences;
};

// Writes the keys and values of each row into its slot of one layer of the cache.
struct KvAppendArgs {
  const void* qkv;  // [rows, (heads + 2*kv_heads) * head_dim], of the cache's type
  int64_t heads;
  KvCacheView cache;
  int64_t layer;
  TreeRows tree;
};

// Attention of each row to the last `window` positions of its committed prefix, then its ancestors, then itself; the
// cache already holds all of them. Sums run in this order, so they do not depend on the rows beside a row. Padding gets
// zeros.
struct TreeAttentionArgs {
  const void* qkv;  // [rows, (heads + 2*kv_heads) * head_dim], of the cache's type
  KvCacheView cache;
  int64_t layer;
  TreeRows tree;
  void* out;  // [rows, heads * head_dim], of the cache's type
  AttentionShape shape;
  Workspace workspace;
};

// Moves the keys and values of accepted rows to the slots that plain decoding would have used, in every layer: for i in
// 0 … counts[s] - 1, from slot lengths[s] + (path[s, i] - row_offsets[s]) to slot lengths[s] + i.
struct KvCompactArgs {
  KvCacheView cache;
  const int32_t* row_offsets;  // [sequences + 1]
  const int32_t* lengths;      // [sequences]
  const int32_t* path;         // [sequences, path_stride]: rows of the accepted nodes, ascending, root first
  const int32_t* counts;       // [sequences]: accepted nodes
  int64_t path_stride;
};

}  // namespace foretoken
