// Verifies draft trees.
#include "csrc/addon/families.h"
#include "csrc/addon/linear/unembedding.h"
#include "csrc/addon/sampling/arguments.h"
#include "csrc/core/tree.h"

namespace foretoken {

namespace {

// Checks the tokens of nodes if the host knows which rows are nodes; padding may hold anything.
void check_tokens(const Call& call, const Tensor& tokens, const Tensor& row_offsets, int64_t vocab) {
  const int32_t* const offsets = row_offsets.known_indices();
  if (offsets == nullptr) return;
  Tensor of_nodes = tokens;
  of_nodes.shape = {offsets[row_offsets.shape[0] - 1]};
  call.check_indices(of_nodes, "tokens", vocab);
}

// Reads rowOffsets, lengths and parents into args->tree. Chooses args->path_stride if that is 0.
void read_tree(Call& call, const Tensor& tokens, int64_t rows, VerifyTreeArgs* args) {
  const Tensor& row_offsets = call.int32("rowOffsets");
  const Tensor& lengths = call.int32("lengths");
  const Tensor& parents = call.int32("parents");
  call.check_rank(lengths, "lengths", 1);
  const int64_t sequences = lengths.shape[0];
  call.check_shape(row_offsets, "rowOffsets", {sequences + 1});
  call.check_shape(parents, "parents", {rows});
  if (sequences == 0 && rows > 0) {
    call.fail(ErrorCode::kShapeMismatch, "lengths is [0], but parents has %lld rows", lld(rows));
  }
  VerifyTreeArgs known{};
  known.tree = {row_offsets.known_indices(), lengths.known_indices(), parents.known_indices(), rows, sequences};
  known.path_stride = args->path_stride > 0 ? args->path_stride : rows;
  IndexProblem problem;
  if (find_problem(known, &problem)) call.fail(ErrorCode::kIndexOutOfRange, "%s", text_of(problem).c_str());
  check_tokens(call, tokens, row_offsets, args->vocab);
  if (args->path_stride == 0) {
    const bool is_known = known.tree.row_offsets != nullptr && known.tree.parents != nullptr;
    args->path_stride = is_known ? deepest(known.tree) + 1 : rows;
  }
  args->tree = {row_offsets.as<int32_t>(), lengths.as<int32_t>(), parents.as<int32_t>(), rows, sequences};
}

// Reads history?, historyLengths? and promptLengths?.
void read_history(Call& call, VerifyTreeArgs* args) {
  const Tensor* const history = call.optional_int32("history");
  check_history(call, args->sampling.needs == SamplingNeeds::kHistory, history);
  if (history == nullptr) return call.skip(2);
  const Tensor& lengths = call.int32("historyLengths");
  const Tensor& prompt_lengths = call.int32("promptLengths");
  call.check_rank(*history, "history", 2);
  args->history_stride = history->shape[1];
  call.check_shape(*history, "history", {args->tree.sequences, args->history_stride});
  call.check_shape(lengths, "historyLengths", {args->tree.sequences});
  call.check_shape(prompt_lengths, "promptLengths", {args->tree.sequences});
  call.check_indices(*history, "history", args->vocab);
  call.check_indices(lengths, "historyLengths", args->history_stride + 1);
  call.check_indices(prompt_lengths, "promptLengths", args->history_stride + 1);
  args->history = history->as<int32_t>();
  args->history_lengths = lengths.as<int32_t>();
  args->prompt_lengths = prompt_lengths.as<int32_t>();
}

// verifyTree(hidden, weight, bias?, softcap, tokens, maxDepth?, rowOffsets, lengths, parents,
//            sampling, biasTokens?, biasValues?, needs, history?, historyLengths?, promptLengths?, mask?, allowsNoToken):
//   [path, drawn, counts]
napi_value verify_tree(Call& call) {
  const Tensor& hidden = call.activations("hidden");
  const Tensor& weight = call.weight("weight");
  const Tensor* const bias = call.optional_float32("bias");
  VerifyTreeArgs args{};
  args.softcap = softcap_argument(call);
  const Tensor& tokens = call.int32("tokens");
  const UnembeddingShape shape = unembedding_shape(call, hidden, weight, bias);
  call.check_shape(tokens, "tokens", {shape.rows});
  args.hidden = hidden.data();
  args.dtype = hidden.dtype;
  args.weight = weight.matrix();
  args.bias = bias ? bias->as<float>() : nullptr;
  args.tokens = tokens.as<int32_t>();
  args.dim = shape.dim;
  args.vocab = shape.vocab;
  if (call.given()) args.path_stride = call.integer("maxDepth", 0, INT32_MAX - 1) + 1;
  read_tree(call, tokens, shape.rows, &args);
  args.sampling = sequence_sampling(call, args.tree.sequences);
  read_history(call, &args);
  const Tensor* const mask = call.optional_int32("mask");
  if (mask != nullptr) {
    call.check_shape(*mask, "mask", {shape.rows, mask_words(shape.vocab)});
    args.mask = mask->as<uint32_t>();
  }
  args.allows_no_token = call.boolean("allowsNoToken");
  Tensor path = call.output(DType::kInt32, {args.tree.sequences, args.path_stride});
  Tensor drawn = call.output(DType::kInt32, {args.tree.sequences, args.path_stride});
  Tensor counts = call.output(DType::kInt32, {args.tree.sequences});
  args.path = path.as<int32_t>();
  args.drawn = drawn.as<int32_t>();
  args.counts = counts.as<int32_t>();
  run_with_workspace(call.device(), args, call.op());
  return call.handles({std::move(path), std::move(drawn), std::move(counts)});
}

}  // namespace

const Exports kVerifyTreeExports = {
    {"verifyTree", verify_tree},
};

}  // namespace foretoken
