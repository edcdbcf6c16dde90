#include "csrc/core/sampling.h"

#include "csrc/core/error.h"

namespace foretoken {

Error nothing_to_draw(const char* op, int64_t row, int64_t position) {
  char where[64] = "";
  if (position != kNoPosition) {
    std::snprintf(where, sizeof where, " for position %lld", lld(position));
  }
  return make_error(ErrorCode::kDiverged,
                    "%s: no token can be drawn%s: the logits of row %lld are not numbers (all are NaN or -Infinity); "
                    "the weights are damaged, training diverged, or logitBias rules out every token",
                    op, where, lld(row));
}

bool has_penalties(const SamplingOptions& options) {
  return options.repetition_penalty != 1 || options.frequency_penalty != 0 || options.presence_penalty != 0;
}

bool has_filters(const SamplingOptions& options) {
  return options.temperature > 0 && (options.top_k > 0 || options.top_p < 1 || options.min_p > 0);
}

bool needs_logits(const SamplingOptions& options, const LogitBias& bias) {
  return has_filters(options) || has_penalties(options) || bias.count > 0;
}

FusedDraw::FusedDraw(const LinearSampleArgs& args)
    : hidden(args.hidden),
      dtype(args.dtype),
      weight(args.weight),
      bias(args.bias),
      rows(args.rows),
      dim(args.dim),
      vocab(args.vocab),
      softcap(args.softcap),
      temperature(args.temperature),
      seed(args.seed) {}

FusedDraw::FusedDraw(const VerifyTreeArgs& args)
    : hidden(args.hidden),
      dtype(args.dtype),
      weight(args.weight),
      bias(args.bias),
      rows(args.tree.rows),
      dim(args.dim),
      vocab(args.vocab),
      softcap(args.softcap),
      temperature(args.options.temperature),
      seed(args.options.seed) {}

}  // namespace foretoken
