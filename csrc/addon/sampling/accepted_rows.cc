// Lists the rows and tokens that drafting heads read after a step.
#include "csrc/addon/families.h"
#include "csrc/core/tree.h"

namespace foretoken {

namespace {

// Refuses index tensors whose known contents, in `known`, contradict each other.
template <typename Args>
void check_known(const Call& call, const Args& known) {
  IndexProblem problem;
  if (find_problem(known, &problem)) call.fail(ErrorCode::kIndexOutOfRange, "%s", text_of(problem).c_str());
}

// acceptedRows(path, counts, drawn, lengths, open, openTokens, rows): [rowOffsets, starts, parents, positions, sources,
//              following, last, nextOpen, nextOpenTokens, kept]
napi_value accepted_rows(Call& call) {
  const Tensor& path = call.int32("path");
  const Tensor& counts = call.int32("counts");
  const Tensor& drawn = call.int32("drawn");
  const Tensor& lengths = call.int32("lengths");
  const Tensor& open = call.int32("open");
  const Tensor& open_tokens = call.int32("openTokens");
  const int64_t rows = call.integer("rows", 0, INT32_MAX);
  call.check_rank(path, "path", 2);
  call.check_rank(open_tokens, "openTokens", 2);
  const int64_t sequences = path.shape[0], stride = path.shape[1], most_open = open_tokens.shape[1];
  call.check_shape(counts, "counts", {sequences});
  call.check_shape(drawn, "drawn", path.shape);
  call.check_shape(lengths, "lengths", {sequences});
  call.check_shape(open, "open", {sequences});
  call.check_shape(open_tokens, "openTokens", {sequences, most_open});
  if (open_tokens.shape.count() > INT32_MAX) {
    call.fail(ErrorCode::kShapeMismatch, "openTokens has %lld elements, but at most %d are allowed",
              lld(open_tokens.shape.count()), INT32_MAX);
  }
  AcceptedRowsArgs known{};
  known.path = path.known_indices();
  known.counts = counts.known_indices();
  known.lengths = lengths.known_indices();
  known.open = open.known_indices();
  known.rows = rows;
  known.sequences = sequences;
  known.path_stride = stride;
  known.most_open = most_open;
  check_known(call, known);
  const auto output = [&](const Shape& shape) { return call.output(DType::kInt32, shape); };
  Tensor row_offsets = output({sequences + 1}), starts = output({sequences});
  Tensor parents = output({rows}), positions = output({rows}), sources = output({rows});
  Tensor following = output({sequences, most_open + stride}), last = output({sequences});
  Tensor next_open = output({sequences}), next_open_tokens = output({sequences, most_open});
  Tensor kept = output({sequences * most_open});
  call.device().backend().run(AcceptedRowsArgs{path.as<int32_t>(),
                                               counts.as<int32_t>(),
                                               drawn.as<int32_t>(),
                                               lengths.as<int32_t>(),
                                               open.as<int32_t>(),
                                               open_tokens.as<int32_t>(),
                                               row_offsets.as<int32_t>(),
                                               starts.as<int32_t>(),
                                               parents.as<int32_t>(),
                                               positions.as<int32_t>(),
                                               sources.as<int32_t>(),
                                               following.as<int32_t>(),
                                               last.as<int32_t>(),
                                               next_open.as<int32_t>(),
                                               next_open_tokens.as<int32_t>(),
                                               kept.as<int32_t>(),
                                               rows,
                                               sequences,
                                               stride,
                                               most_open});
  return call.handles({std::move(row_offsets), std::move(starts), std::move(parents), std::move(positions),
                       std::move(sources), std::move(following), std::move(last), std::move(next_open),
                       std::move(next_open_tokens), std::move(kept)});
}

// chainTokens(following, drafts, rowOffsets, head, rows): int32 [rows]
napi_value chain_tokens(Call& call) {
  const Tensor& following = call.int32("following");
  const Tensor& drafts = call.int32("drafts");
  const Tensor& row_offsets = call.int32("rowOffsets");
  call.check_rank(following, "following", 2);
  call.check_rank(drafts, "drafts", 3);
  ChainTokensArgs args{};
  args.sequences = following.shape[0];
  args.columns = following.shape[1];
  args.depth = drafts.shape[1];
  args.width = drafts.shape[2];
  args.head = call.integer("head", 2, args.depth + 2);
  args.rows = call.integer("rows", 0, INT32_MAX);
  call.check_shape(drafts, "drafts", {args.sequences, args.depth, args.width});
  call.check_shape(row_offsets, "rowOffsets", {args.sequences + 1});
  if (args.width == 0 && args.head > 2) {
    call.fail(ErrorCode::kShapeMismatch, "drafts has no columns, but head %lld reads drafts", lld(args.head));
  }
  args.row_offsets = row_offsets.known_indices();
  check_known(call, args);
  Tensor tokens = call.output(DType::kInt32, {args.rows});
  args.following = following.as<int32_t>();
  args.drafts = drafts.as<int32_t>();
  args.row_offsets = row_offsets.as<int32_t>();
  args.tokens = tokens.as<int32_t>();
  call.device().backend().run(args);
  return call.handle(std::move(tokens));
}

}  // namespace

const Exports kAcceptedRowsExports = {{"acceptedRows", accepted_rows}, {"chainTokens", chain_tokens}};

}  // namespace foretoken
