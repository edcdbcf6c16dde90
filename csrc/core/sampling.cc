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
                    "the weights are damaged, training diverged, or logitBias or a mask rules out every token",
                    op, where, lld(row));
}

FusedDraw::FusedDraw(const LinearSampleArgs& args)
    : hidden(args.hidden),
      dtype(args.dtype),
      weight(args.weight),
      bias(args.bias),
      mask(nullptr),
      rows(args.rows),
      dim(args.dim),
      vocab(args.vocab),
      softcap(args.softcap) {}

FusedDraw::FusedDraw(const VerifyTreeArgs& args)
    : hidden(args.hidden),
      dtype(args.dtype),
      weight(args.weight),
      bias(args.bias),
      mask(args.mask),
      rows(args.tree.rows),
      dim(args.dim),
      vocab(args.vocab),
      softcap(args.softcap) {}

}  // namespace foretoken
