// The gradient of attention, in three kernels. With P = softmax(S), S = scale Q Kᵀ, O = P V and the row sums D of dO * O:
//   attention_backward.cu      computes D, and lays out the per-row inputs of the other two,
//   attention_grad_queries.cu  has a block for each tile of queries:  dS = P * (dO Vᵀ - D),  dQ = scale dS K,
//   attention_grad_keys.cu     has a block for each tile of keys:     dV = Pᵀ dO,  dK = scale dSᵀ Q.
// The last two recompute P and dS, which never exist in memory. So every gradient has one owner, which sums it in one
// order without atomics.
#pragma once

#include "csrc/cuda/attention/attention.cuh"

namespace foretoken::cuda {

// The number of rows that a block works on, chosen as for the forward pass: it owns kOwned rows, and the rows of the
// other side pass through it, kPassing at a time. Shared memory holds two tiles of owned rows, and two pairs of tiles
// of passing rows: one pair in use and one in flight.
template <typename T, int kDim>
struct BackwardTiles {
  static constexpr int kRowBytes = kDim * static_cast<int>(sizeof(T));
  static constexpr int kWarps = kRowBytes > 512 ? 1 : 4, kThreads = kWarps * kWarp;
  static constexpr int kOwned = kWarps * 16;
  static constexpr int kPassing = kRowBytes <= 128 ? 64 : kRowBytes < 512 ? 32 : 16;
  static constexpr int kTileBytes = (2 * kOwned + 4 * kPassing) * kRowBytes;
};

// Per-row inputs of the gradient kernels, padded to whole tiles of kPassing. The values of padding rows make their
// gradients zero.
struct PreparedRows {
  int64_t padded;   // rows of a sequence, in whole tiles
  float* lse;       // [batch, heads, padded]; ∞ after the last row
  float* delta;     // [batch, heads, padded]: D; 0 after the last row
  int32_t* starts;  // [batch, padded]
  Extent* extents;  // [batch, padded / kPassing]: of the starts in a tile
};

void grad_queries(const AttentionBackwardArgs& args, const PreparedRows& prepared, const Context& context);
void grad_keys(const AttentionBackwardArgs& args, const PreparedRows& prepared, const Context& context);

}  // namespace foretoken::cuda
