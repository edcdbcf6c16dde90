// Turns the record of errors into an Error.
#include "csrc/cuda/error_record.h"

#include "csrc/core/sampling.h"

namespace foretoken::cuda {

namespace {

const char* name_of(Argument argument) {
  switch (argument) {
    case Argument::kRowOffsets: return "rowOffsets";
    case Argument::kLengths: return "lengths";
    case Argument::kParents: return "parents";
    case Argument::kDepthOfRow: return "depth of row";
    case Argument::kTokens: return "tokens";
    case Argument::kTargets: return "targets";
    case Argument::kPositions: return "positions";
    case Argument::kStarts: return "starts";
    case Argument::kPath: return "path";
    case Argument::kCounts: return "counts";
    case Argument::kLogitBias: return "logitBias";
    case Argument::kHistoryLengths: return "historyLengths";
    case Argument::kHistory: return "history";
    case Argument::kOpen: return "open";
    case Argument::kNothingToDraw:
    case Argument::kEnd: break;
  }
  return "?";
}

}  // namespace

ErrorRecord empty_record() {
  ErrorRecord record{};
  record.key = ~0ull;
  record.one = record.one_without_error = 1;
  return record;
}

std::optional<Error> error_of(const ErrorRecord& record) {
  if (record.launch == 0) return std::nullopt;
  const auto argument = static_cast<Argument>(record.key >> 59);
  const ErrorRecord::Limits& limits = record.limits[static_cast<int>(argument)];
  const auto position = static_cast<int64_t>(record.key >> 32 & 0x7ffffff);
  const auto value = static_cast<int32_t>(record.key);
  if (argument == Argument::kNothingToDraw) return nothing_to_draw(record.op, position, value);
  // A document starts at its row or earlier, counted within the sequence.
  const int64_t highest = argument == Argument::kStarts ? position % (limits.highest + 1) : limits.highest;
  const IndexProblem problem = {name_of(argument), position, value,
                                limits.lowest,     highest,  static_cast<Bound>(limits.bound)};
  return make_error(ErrorCode::kIndexOutOfRange, "%s: %s", record.op, text_of(problem).c_str());
}

}  // namespace foretoken::cuda
