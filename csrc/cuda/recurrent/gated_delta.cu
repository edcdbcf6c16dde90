// The delta rule for the nodes of draft trees: a warp reads its tile of S once and keeps it in registers while it visits all
// nodes of the tree.
#include "csrc/cuda/kernels.h"
#include "csrc/cuda/recurrent/delta_tile.cuh"
#include "csrc/cuda/recurrent/walk.cuh"
#include "csrc/cuda/sampling/tree_check.cuh"

namespace foretoken::cuda {
namespace {

// The results of a tile.
template <typename T>
class Results {
 public:
  FORETOKEN_DEVICE Results(const GatedDeltaArgs& args, int64_t value_head, int64_t tile)
      : width_(args.states.shape.value_heads * args.states.shape.value_dim) {
    out_ = static_cast<T*>(args.out) + value_head * args.states.shape.value_dim + tile * kTile + threadIdx.x % kTile;
  }

  // The first lanes write a column each, of the two that they have.
  FORETOKEN_DEVICE void store(int64_t row, const float (&values)[kLaneColumns]) const {
    static_assert(kLaneColumns == 2);
    const int lane = threadIdx.x % kWarp;
    if (lane < kTile) out_[row * width_] = from_float<T>(lane < kColumnLanes ? values[0] : values[1]);
  }

 private:
  T* out_;
  int64_t width_;
};

// One block a multiprocessor: without this bound ptxas chooses so few registers that they spill.
template <int kTiles, typename T, int kKeys>
__global__ void __launch_bounds__(kTiles* kWarp, 1) gated_delta_kernel(GatedDeltaArgs args, Reporter reporter) {
  constexpr int kThreads = kTiles * kWarp;
  FORETOKEN_SHARED(Walk, walk, );
  FORETOKEN_SHARED(Gates, gates, [kMostRecurrentRows]);
  FORETOKEN_SHARED(int64_t, shared, [kTiles]);
  FORETOKEN_DYNAMIC_SHARED(memory);
  const TreeRows& tree = args.tree;
  const RecurrentShape& shape = args.states.shape;
  const TilePlace<kTiles> place(shape);
  const bool valid = tree_is_valid<kThreads>(tree, {args.states.room, Bound::kStateRows}, reporter, shared);
  const Results<T> results(args, place.value_head, place.tile);
  // Other operations may read the results before the error is reported.
  if (place.sequence == 0 && place.exists) {
    for (int64_t r = valid ? rows_in_use(tree) : 0; r < tree.rows; ++r) results.store(r, {0, 0});
  }
  if (!valid) return;
  const int first = tree.row_offsets[place.sequence], rows = tree.row_offsets[place.sequence + 1] - first;
  if (rows == 0) return;
  for (int r = static_cast<int>(threadIdx.x); r < rows; r += kThreads) {
    gates[r] = gates_of<T>(args.delta, shape.value_heads, first + r, place.value_head);
  }
  plan_walk<kThreads>(tree.parents + first, first, rows, walk, shared);
  if (!place.exists) return;

  const HeadRows<T> inputs(args.delta, shape, place.value_head, place.tile);
  const int keys = static_cast<int>(shape.key_dim) / kRowGroups, copy_floats = keys * kLaneColumns * kThreads;
  const float* const state = tile_of(args.states, place.sequence, place.value_head, place.tile);
  float* const copies =
      reinterpret_cast<float*>(memory) + threadIdx.x / kWarp * (copy_floats / kTiles) + threadIdx.x % kWarp;
  const float query_factor = 1.0f / sqrtf(static_cast<float>(shape.key_dim));
  DeltaTile<kKeys> s;
  HeadRow<T, kKeys> row, next;
  inputs.load(first + walk.visits[0].row, next);
  for (int i = 0; i < rows; ++i) {
    const Visit visit = walk.visits[i];
    row = next;
    if (i + 1 < rows) inputs.load(first + walk.visits[i + 1].row, next);
    if (visit.source == kInState) s.load(state, keys);
    else if (visit.source != kInRegisters) s.load(copies + visit.source * copy_floats, keys);
    float out[kLaneColumns];
    s.template step<true>(row, gates[visit.row], query_factor, visit.updates, out);
    results.store(first + visit.row, out);
    if (visit.copy >= 0) s.store(copies + visit.copy * copy_floats, keys);
  }
}

template <int kTiles>
void launch_tiles(const GatedDeltaArgs& args, const Context& context, size_t copy_bytes) {
  with_tiles(args.states.shape, args.delta.dtype, [&]<typename T, int kKeys>() {
    launch(context, gated_delta_kernel<kTiles, T, kKeys>, tile_grid<kTiles>(args.states.shape, args.tree.sequences),
           dim3(kTiles * kWarp), kTiles * copy_bytes, args, context.reporter());
  });
}

}  // namespace

// Queries and keys are normalized where they are used.
int64_t workspace(const GatedDeltaArgs&, const Context&) { return 0; }

void run(const GatedDeltaArgs& args, const Context& context) {
  constexpr size_t kMostCopyBytes = 88 * 1024;  // beside what is shared in any case, on every GPU
  const int64_t copies = copies_for(std::min(args.tree.rows, kMostRecurrentRows));
  const auto of_tile = static_cast<size_t>(copies * args.states.shape.key_dim * kTile) * sizeof(float);
  // Tiles of a block share the checks and the order of the visits.
  if (4 * of_tile <= kMostCopyBytes) launch_tiles<4>(args, context, of_tile);
  else launch_tiles<1>(args, context, of_tile);
}

}  // namespace foretoken::cuda
