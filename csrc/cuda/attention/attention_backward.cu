// Prepares the backward pass of attention: computes D, and lays out the per-row inputs of its two other kernels.
#include "csrc/cuda/attention/attention_backward.cuh"

#include "csrc/cuda/kernels.h"

namespace foretoken::cuda {
namespace {

constexpr int kPrepareThreads = 256;

// Lays the arrays out in the workspace; returns how many bytes they take.
int64_t lay_out(const AttentionBackwardArgs& args, int tile, PreparedRows* rows) {
  int64_t bytes = 0;
  const auto take = [&](auto*& array, int64_t count) {
    array = reinterpret_cast<std::remove_reference_t<decltype(array)>>(static_cast<char*>(args.workspace.data) + bytes);
    bytes += round_up(count * static_cast<int64_t>(sizeof *array), 64);
  };
  rows->padded = round_up(args.length, tile);
  take(rows->lse, args.batch * args.shape.heads * rows->padded);
  take(rows->delta, args.batch * args.shape.heads * rows->padded);
  take(rows->starts, args.batch * rows->padded);
  take(rows->extents, args.batch * rows->padded / tile);
  return bytes;
}

// A block prepares one tile of one head.
template <typename T>
__global__ void __launch_bounds__(kPrepareThreads)
    prepare_kernel(AttentionBackwardArgs args, PreparedRows prepared, int tile, Reporter reporter, int64_t first_item) {
  const int64_t heads = args.shape.heads, dim = args.shape.head_dim;
  const Place place(first_item + blockIdx.x, heads, static_cast<int>(prepared.padded / tile));
  const Starts starts(args, place.sequence, reporter);
  const int lane = threadIdx.x % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const int first = place.block * tile;

  for (int row = first + warp; row < first + tile; row += kPrepareThreads / kWarp) {
    const bool exists = row < starts.length;
    const int64_t at = (starts.offset + row) * heads + place.head;
    const T* const out = static_cast<const T*>(args.out) + at * dim;
    const T* const grad_out = static_cast<const T*>(args.grad_out) + at * dim;
    float sum = 0.0f;
    for (int64_t i = lane; exists && i < dim; i += kWarp) sum = fmaf(to_float(grad_out[i]), to_float(out[i]), sum);
    sum = reduce_warp(sum, Sum());
    if (lane == 0) {
      const int64_t to = (place.sequence * heads + place.head) * prepared.padded + row;
      prepared.delta[to] = sum;
      prepared.lse[to] = exists ? args.lse[at] : INFINITY;
    }
  }
  if (place.head > 0 || warp > 0) return;
  for (int row = first + lane; row < first + tile; row += kWarp) {
    prepared.starts[place.sequence * prepared.padded + row] = starts.at(row);
  }
  const Extent extent = extent_of(starts, first, tile);
  if (lane == 0) prepared.extents[place.sequence * (prepared.padded / tile) + place.block] = extent;
}

}  // namespace

int64_t workspace(const AttentionBackwardArgs& args, const Context& context) {
  int64_t bytes = 0;
  with_tiles(args, context, [&](auto element, auto columns) {
    PreparedRows rows;
    bytes = lay_out(args, BackwardTiles<decltype(element), columns>::kPassing, &rows);
  });
  return bytes;
}

void run(const AttentionBackwardArgs& args, const Context& context) {
  with_tiles(args, context, [&](auto element, auto columns) {
    using T = decltype(element);
    constexpr int kTile = BackwardTiles<T, columns>::kPassing;
    PreparedRows prepared;
    lay_out(args, kTile, &prepared);
    const int64_t items = args.batch * args.shape.heads * (prepared.padded / kTile);
    launch_items(context, prepare_kernel<T>, items, kPrepareThreads, 0, args, prepared, kTile, context.reporter());
    grad_queries(args, prepared, context);
    grad_keys(args, prepared, context);
  });
}

}  // namespace foretoken::cuda
