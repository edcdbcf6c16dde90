// Filling draft trees with tokens, and verifying them.
#include "csrc/addon/families.h"
#include "csrc/core/tree.h"

namespace foretoken {

namespace {

// plantTree(roots, drafts, depths, ranks, rowOffsets): int32 [rows]
napi_value plant_tree(Call& call) {
  const Tensor& roots = call.int32(0, "roots");
  const Tensor& drafts = call.int32(1, "drafts");
  const Tensor& depths = call.int32(2, "depths");
  const Tensor& ranks = call.int32(3, "ranks");
  const Tensor& row_offsets = call.int32(4, "rowOffsets");
  call.check_rank(roots, "roots", 1, 1);
  call.check_rank(drafts, "drafts", 3);
  call.check_rank(depths, "depths", 1, 1);
  const int64_t sequences = roots.shape[0], rows = depths.shape[0];
  call.check_shape(drafts, "drafts", {sequences, drafts.shape[1], drafts.shape[2]});
  call.check_shape(ranks, "ranks", {rows});
  call.check_shape(row_offsets, "rowOffsets", {sequences + 1});
  call.check_indices(depths, "depths", drafts.shape[1] + 1);
  call.check_indices(row_offsets, "rowOffsets", rows + 1);
  if (sequences == 0 && rows > 0) call.fail(ErrorCode::kShapeMismatch, "roots is [0], but there are rows");
  Tensor tokens = call.output(DType::kInt32, {rows});
  call.device().backend().run(PlantTreeArgs{roots.as<int32_t>(), drafts.as<int32_t>(), depths.as<int32_t>(),
                                            ranks.as<int32_t>(), row_offsets.as<int32_t>(), tokens.as<int32_t>(), rows,
                                            sequences, drafts.shape[1], drafts.shape[2]});
  return call.handle(std::move(tokens));
}

// verifyTree(hidden, weight, bias?, softcap, tokens, rowOffsets, lengths, parents,
//            history?, historyLengths?, promptLengths?, pathStride, ...sampling): [path, drawn, counts]
napi_value verify_tree(Call& call) {
  const Tensor& hidden = call.float32(0, "hidden");
  const Tensor& weight = call.floating(1, "weight");
  const Tensor* const bias = call.optional_float32(2, "bias");
  const float softcap = call.finite(3, "softcap");
  if (softcap < 0) call.fail(ErrorCode::kInvalidArgument, "softcap must be at least 0");
  const Tensor& tokens = call.int32(4, "tokens");
  const Tensor& row_offsets = call.int32(5, "rowOffsets");
  const Tensor& lengths = call.int32(6, "lengths");
  const Tensor& parents = call.int32(7, "parents");
  call.check_rank(hidden, "hidden", 2);
  call.check_rank(weight, "weight", 2);
  call.check_rank(lengths, "lengths", 1, 1);
  const int64_t rows = hidden.shape[0], vocab = weight.shape[0], dim = weight.shape[1];
  const int64_t sequences = lengths.shape[0];
  call.check_shape(hidden, "hidden", {rows, dim});
  if (bias != nullptr) call.check_shape(*bias, "bias", {vocab});
  call.check_shape(tokens, "tokens", {rows});
  call.check_shape(row_offsets, "rowOffsets", {sequences + 1});
  call.check_shape(parents, "parents", {rows});
  VerifyTreeArgs args{};
  args.tree = {row_offsets.known_indices(), lengths.known_indices(), parents.known_indices(), rows, sequences};
  IndexProblem problem;
  if (find_problem(args.tree, int64_t{1} << 31, &problem)) {
    call.fail(ErrorCode::kIndexOutOfRange, "%s", text_of(problem).c_str());
  }
  if (args.tree.row_offsets != nullptr && args.tree.parents != nullptr) {
    for (int64_t s = 0; s < sequences; ++s) {
      const int64_t root = args.tree.row_offsets[s];
      if (root == args.tree.row_offsets[s + 1] || args.tree.parents[root] == -1) continue;
      call.fail(ErrorCode::kIndexOutOfRange, "parents[%lld] is %d, but the first row of a sequence is its root: -1",
                static_cast<long long>(root), args.tree.parents[root]);
    }
  }
  args.tree = {row_offsets.as<int32_t>(), lengths.as<int32_t>(), parents.as<int32_t>(), rows, sequences};
  const Tensor* const history = call.optional_int32(8, "history");
  if (history != nullptr) {
    call.check_rank(*history, "history", 2);
    args.history_stride = history->shape[1];
    const Tensor& history_lengths = call.int32(9, "historyLengths");
    const Tensor& prompt_lengths = call.int32(10, "promptLengths");
    call.check_shape(*history, "history", {sequences, args.history_stride});
    call.check_shape(history_lengths, "historyLengths", {sequences});
    call.check_shape(prompt_lengths, "promptLengths", {sequences});
    call.check_indices(history_lengths, "historyLengths", args.history_stride + 1);
    args.history = history->as<int32_t>();
    args.history_lengths = history_lengths.as<int32_t>();
    args.prompt_lengths = prompt_lengths.as<int32_t>();
  }
  args.path_stride = call.integer(11, "pathStride", 1, INT32_MAX);
  args.options = sampling_options(call, 12);
  args.logit_bias = logit_bias(call, 12, vocab);
  args.hidden = hidden.as<float>();
  args.weight = weight.matrix();
  args.bias = bias ? bias->as<float>() : nullptr;
  args.softcap = softcap;
  args.tokens = tokens.as<int32_t>();
  args.dim = dim;
  args.vocab = vocab;
  Tensor path = call.output(DType::kInt32, {sequences, args.path_stride});
  Tensor drawn = call.output(DType::kInt32, {sequences, args.path_stride});
  Tensor counts = call.output(DType::kInt32, {sequences});
  args.path = path.as<int32_t>();
  args.drawn = drawn.as<int32_t>();
  args.counts = counts.as<int32_t>();
  run_with_workspace(call.device(), args, call.op());
  return call.handles({std::move(path), std::move(drawn), std::move(counts)});
}

}  // namespace

const Exports kVerifyTreeExports = {
    {"plantTree", plant_tree},
    {"verifyTree", verify_tree},
};

}  // namespace foretoken
