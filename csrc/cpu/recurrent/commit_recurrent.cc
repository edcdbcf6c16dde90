// Applies accepted rows to recurrent states. A part is a slice of S of one value head, and a share of the last inputs.
#include "csrc/core/tree.h"
#include "csrc/cpu/kernels.h"
#include "csrc/cpu/recurrent/delta_rule.h"

namespace foretoken::cpu::FORETOKEN_ISA {
namespace {

template <int kVecs>
void advance(const CommitRecurrentArgs& args, const PreparedRows& prepared, int64_t sequence, int64_t value_head,
             int64_t column) {
  const int64_t key_dim = args.states.shape.key_dim;
  const int32_t* const path = args.path + sequence * args.path_stride;
  float* const s = columns_of(args.states, sequence, value_head, column);
  Update<kVecs> update;
  Products<kVecs> products;
  for (int64_t i = 0; i < args.counts[sequence]; ++i) {
    const HeadRow row(args.delta, prepared, path[i], value_head, column);
    if (i == 0) pass<kVecs, false, Wanted::kKey>(s, nullptr, key_dim, update, row.key, nullptr, products);
    else pass<kVecs, true, Wanted::kKey>(s, s, key_dim, update, row.key, nullptr, products);
    update = update_of(row, products);
  }
  pass<kVecs, true, Wanted::kNothing>(s, s, key_dim, update, nullptr, nullptr, products);
}

// Moves the last inputs of channels begin … end - 1. From left to right, because they move to the left.
void shift_inputs(const CommitRecurrentArgs& args, int64_t sequence, int64_t begin, int64_t end) {
  const int64_t channels = args.states.shape.channels(), kept = args.states.shape.taps - 1;
  const int32_t* const path = args.path + sequence * args.path_stride;
  float* const inputs = last_inputs(args.states, sequence);
  for (int64_t j = 0; j < kept; ++j) {
    const int64_t from = args.counts[sequence] + j;
    const float* const in = from < kept ? inputs + from * channels : as_floats(args.x) + path[from - kept] * channels;
    copy_floats(inputs + j * channels + begin, in + begin, end - begin);
  }
}

}  // namespace

int64_t workspace(const CommitRecurrentArgs& args, const Context&) {
  return PreparedRows(args.states.shape, args.rows, nullptr).bytes;
}

void run(const CommitRecurrentArgs& args, const Context& context) {
  IndexProblem problem;
  if (find_problem(args, &problem)) return report_problem(context, "commitRecurrent", problem);
  const RecurrentShape& shape = args.states.shape;
  const PreparedRows prepared(shape, args.rows, args.workspace.data);
  for (int64_t s = 0; s < args.sequences; ++s) {
    prepare_rows(args.delta, args.path + s * args.path_stride, args.counts[s], prepared, context);
  }
  const int64_t slices = slices_of(shape), of_sequence = shape.value_heads * slices;
  const int64_t share = divide_up(shape.channels(), of_sequence);
  parallel(context, args.sequences * of_sequence, [&](int64_t part, int) {
    const int64_t sequence = part / of_sequence, place = part % of_sequence, column = place % slices * kSlice;
    if (args.counts[sequence] == 0) return;
    with_slice(shape, column, [&]<int kVecs>() { advance<kVecs>(args, prepared, sequence, place / slices, column); });
    const int64_t begin = smaller(place * share, shape.channels());
    shift_inputs(args, sequence, begin, smaller(begin + share, shape.channels()));
  });
}

}  // namespace foretoken::cpu::FORETOKEN_ISA
