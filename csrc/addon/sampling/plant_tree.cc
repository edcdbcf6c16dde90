// Fills draft trees with drafted tokens.
#include "csrc/addon/families.h"
#include "csrc/core/tree.h"

namespace foretoken {

namespace {

// plantTree(roots, drafts, depths, ranks, rowOffsets, lengths): [tokens, positions], int32 [rows] each
napi_value plant_tree(Call& call) {
  const Tensor& roots = call.int32("roots");
  const Tensor& drafts = call.int32("drafts");
  const Tensor& depths = call.int32("depths");
  const Tensor& ranks = call.int32("ranks");
  const Tensor& row_offsets = call.int32("rowOffsets");
  const Tensor& lengths = call.int32("lengths");
  call.check_rank(roots, "roots", 1);
  call.check_rank(drafts, "drafts", 3);
  call.check_rank(depths, "depths", 1);
  const int64_t sequences = roots.shape[0], rows = depths.shape[0];
  call.check_shape(drafts, "drafts", {sequences, drafts.shape[1], drafts.shape[2]});
  call.check_shape(ranks, "ranks", {rows});
  call.check_shape(row_offsets, "rowOffsets", {sequences + 1});
  call.check_shape(lengths, "lengths", {sequences});
  call.check_indices(lengths, "lengths", int64_t{INT32_MAX} - drafts.shape[1]);
  call.check_indices(depths, "depths", drafts.shape[1] + 1);
  if (drafts.shape[2] > 0) call.check_indices(ranks, "ranks", drafts.shape[2]);
  call.check_indices(row_offsets, "rowOffsets", rows + 1);
  if (sequences == 0 && rows > 0) {
    call.fail(ErrorCode::kShapeMismatch, "roots is [0], but depths has %lld rows", lld(rows));
  }
  Tensor tokens = call.output(DType::kInt32, {rows}), positions = call.output(DType::kInt32, {rows});
  call.device().backend().run(PlantTreeArgs{roots.as<int32_t>(), drafts.as<int32_t>(), depths.as<int32_t>(),
                                            ranks.as<int32_t>(), row_offsets.as<int32_t>(), lengths.as<int32_t>(),
                                            tokens.as<int32_t>(), positions.as<int32_t>(), rows, sequences,
                                            drafts.shape[1], drafts.shape[2]});
  return call.handles({std::move(tokens), std::move(positions)});
}

}  // namespace

const Exports kPlantTreeExports = {{"plantTree", plant_tree}};

}  // namespace foretoken
