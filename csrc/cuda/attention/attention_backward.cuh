// The gradient of attention, in three kernels: with P = softmax(S), S = scale Q Kᵀ, O = P V and D = the row sums of
// dO * O
//   attention_backward.cu      computes D, and lays out what the other two read tile by tile,
//   attention_grad_queries.cu  has a block for each tile of queries:  dS = P * (dO Vᵀ - D),  dQ = scale dS K,
//   attention_grad_keys.cu     has a block for each tile of keys:     dV = Pᵀ dO,  dK = scale dSᵀ Q.
// Both compute P and dS again, so that every gradient has one owner, which sums it in one order.
#pragma once

#include "csrc/cuda/attention/attention.cuh"

namespace foretoken::cuda {

// How many rows a block works on: it owns kOwned, and kPassing at a time of the others go by. In shared memory are two
// tiles of its own, and two pairs of those that pass, one at work and one on its way. Chosen as for the forward pass.
template <typename T, int kDim>
struct BackwardTiles {
  static constexpr int kRowBytes = kDim * static_cast<int>(sizeof(T));
  static constexpr int kWarps = kRowBytes > 512 ? 1 : 4, kThreads = kWarps * kWarp;
  static constexpr int kOwned = kWarps * 16;
  static constexpr int kPassing = kRowBytes <= 128 ? 64 : kRowBytes < 512 ? 32 : 16;
  static constexpr int kTileBytes = (2 * kOwned + 4 * kPassing) * kRowBytes;
};

// What is known of each row before the gradients, in tiles of kPassing. Rows behind the last of a sequence are such
// that nothing comes of them.
struct PreparedRows {
  int64_t padded;   // rows of a sequence, in whole tiles
  float* lse;       // [batch, heads, padded]; ∞ behind the last row
  float* delta;     // [batch, heads, padded]: D; 0 behind the last row
  int32_t* starts;  // [batch, padded]
  Extent* extents;  // [batch, padded / kPassing]: of the starts in a tile
};

void grad_queries(const AttentionBackwardArgs& args, const PreparedRows& prepared, const Context& context);
void grad_keys(const AttentionBackwardArgs& args, const PreparedRows& prepared, const Context& context);

}  // namespace foretoken::cuda
