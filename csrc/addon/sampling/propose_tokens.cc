// Proposes drafts that agree with the draws at the same positions.
#include "csrc/addon/families.h"
#include "csrc/addon/linear/unembedding.h"
#include "csrc/addon/sampling/arguments.h"

namespace foretoken {

namespace {

// Refuses ids that are negative or do not rise.
void check_ids(const Call& call, const Tensor& ids, int64_t columns) {
  call.check_shape(ids, "ids", {columns});
  const int32_t* const values = ids.known_indices();
  if (values == nullptr) return;
  for (int64_t i = 0; i < columns; ++i) {
    if (values[i] > (i == 0 ? -1 : values[i - 1])) continue;
    call.fail(ErrorCode::kIndexOutOfRange, "ids must rise from 0 or more, but ids[%lld] is %d", lld(i), values[i]);
  }
}

// proposeTokens(logits, ids?, positions, ahead, k, sampling, biasTokens?, biasValues?, needs): [tokens, weights], both
//               [rows, k]
napi_value propose_tokens(Call& call) {
  const Tensor& logits = call.float32("logits");
  const Tensor* const ids = call.optional_int32("ids");
  const Tensor& positions = call.int32("positions");
  call.check_rank(logits, "logits", 2);
  ProposeTokensArgs args{};
  args.rows = logits.shape[0];
  args.vocab = logits.shape[1];
  check_vocab(call, logits, "logits", args.vocab);
  if (ids != nullptr) check_ids(call, *ids, args.vocab);
  call.check_rank(positions, "positions", 1);
  const int64_t sequences = positions.shape[0];
  args.ahead = call.integer("ahead", 0, INT32_MAX);
  args.k = call.integer("k", 0, args.vocab);
  if (sequences == 0 ? args.rows > 0 : args.rows % sequences != 0) {
    call.fail(ErrorCode::kShapeMismatch, "logits has %lld rows, which %lld sequences cannot share equally",
              lld(args.rows), lld(sequences));
  }
  args.depth = sequences > 0 ? args.rows / sequences : 0;
  args.sampling = sequence_sampling(call, sequences);
  Tensor tokens = call.output(DType::kInt32, {args.rows, args.k});
  Tensor weights = call.output(DType::kFloat32, {args.rows, args.k});
  args.logits = logits.as<float>();
  args.ids = ids == nullptr ? nullptr : ids->as<int32_t>();
  args.positions = positions.as<int32_t>();
  args.tokens = tokens.as<int32_t>();
  args.weights = weights.as<float>();
  if (args.rows > 0 && args.k > 0) run_with_workspace(call.device(), args, call.op());
  return call.handles({std::move(tokens), std::move(weights)});
}

}  // namespace

const Exports kProposeTokensExports = {{"proposeTokens", propose_tokens}};

}  // namespace foretoken
