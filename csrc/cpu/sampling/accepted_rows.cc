// Lists the rows and tokens that drafting heads read after a step.
#include "csrc/core/tree.h"
#include "csrc/cpu/kernels.h"
#include "csrc/cpu/sizes.h"

namespace foretoken::cpu::FORETOKEN_ISA {
namespace {

// The open positions of a sequence, oldest first, then its accepted nodes.
struct Candidates {
  const AcceptedRowsArgs& args;
  int64_t sequence, open, count;

  Candidates(const AcceptedRowsArgs& args, int64_t sequence)
      : args(args), sequence(sequence), open(args.open[sequence]), count(open + args.counts[sequence]) {}

  int32_t source(int64_t i) const {
    if (i < open) return static_cast<int32_t>(sequence * args.most_open + i);
    return static_cast<int32_t>(args.sequences * args.most_open) + args.path[sequence * args.path_stride + i - open];
  }
  int32_t following(int64_t i) const {
    return i < open ? args.open_tokens[sequence * args.most_open + i]
                    : args.drawn[sequence * args.path_stride + i - open];
  }
};

// Writes the rows of a sequence from `first` on; returns the row after them.
int64_t write_rows(const Candidates& candidates, int64_t first) {
  const AcceptedRowsArgs& args = candidates.args;
  const int64_t s = candidates.sequence, count = args.counts[s] > 0 ? candidates.count : 0;
  const int64_t columns = args.most_open + args.path_stride;
  const int32_t start = args.lengths[s] - args.open[s];
  args.row_offsets[s] = static_cast<int32_t>(first);
  args.starts[s] = start;
  args.last[s] = count > 0 ? static_cast<int32_t>(first + count - 1) : 0;
  for (int64_t i = 0; i < count; ++i) {
    args.parents[first + i] = i > 0 ? static_cast<int32_t>(first + i - 1) : -1;
    args.positions[first + i] = start + static_cast<int32_t>(i);
    args.sources[first + i] = candidates.source(i);
  }
  for (int64_t i = 0; i < columns; ++i) args.following[s * columns + i] = i < count ? candidates.following(i) : 0;
  return first + count;
}

// Keeps the newest positions open.
void write_open(const Candidates& candidates) {
  const AcceptedRowsArgs& args = candidates.args;
  const int64_t s = candidates.sequence, most = args.most_open;
  const int64_t kept = smaller(most, candidates.count), final = candidates.count - kept;
  args.next_open[s] = static_cast<int32_t>(kept);
  for (int64_t i = 0; i < most; ++i) {
    args.next_open_tokens[s * most + i] = i < kept ? candidates.following(final + i) : 0;
    args.kept[s * most + i] = i < kept ? candidates.source(final + i) : static_cast<int32_t>(s * most + i);
  }
}

}  // namespace

void run(const AcceptedRowsArgs& args, const Context& context) {
  IndexProblem problem;
  if (find_problem(args, &problem)) return report_problem(context, "acceptedRows", problem);
  int64_t row = 0;
  for (int64_t s = 0; s < args.sequences; ++s) {
    const Candidates candidates(args, s);
    row = write_rows(candidates, row);
    write_open(candidates);
  }
  args.row_offsets[args.sequences] = static_cast<int32_t>(row);
  for (; row < args.rows; ++row) {
    args.parents[row] = -1;
    args.positions[row] = args.sources[row] = 0;
  }
}

void run(const ChainTokensArgs& args, const Context& context) {
  IndexProblem problem;
  if (find_problem(args, &problem)) return report_problem(context, "chainTokens", problem);
  for (int64_t s = 0; s < args.sequences; ++s) {
    const int64_t first = args.row_offsets[s], count = args.row_offsets[s + 1] - first;
    for (int64_t i = 0; i < count; ++i) {
      const int64_t at = i + args.head - 2;
      args.tokens[first + i] =
          at < count ? args.following[s * args.columns + at] : args.drafts[(s * args.depth + at - count) * args.width];
    }
  }
  for (int64_t row = args.row_offsets[args.sequences]; row < args.rows; ++row) args.tokens[row] = 0;
}

}  // namespace foretoken::cpu::FORETOKEN_ISA
