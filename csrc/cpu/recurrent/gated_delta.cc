// The delta rule for the nodes of draft trees. A part is a slice of S of one value head: it is read once from the state
// and stays in the nearest cache while all nodes of the tree are visited.
#include "csrc/core/tree.h"
#include "csrc/cpu/kernels.h"
#include "csrc/cpu/recurrent/delta_rule.h"
#include "csrc/cpu/recurrent/walk.h"

namespace foretoken::cpu::FORETOKEN_ISA {
namespace {

int64_t copy_floats_of(const RecurrentShape& shape) { return kSlice * shape.key_dim; }

// The workspace: first the part that all threads read, then the copies of each thread.
struct Scratch {
  explicit Scratch(const GatedDeltaArgs& args)
      : prepared(args.states.shape, args.tree.rows, args.workspace.data),
        visits_bytes(cache_lines(bytes_of<Visit>(args.tree.rows))),
        thread_floats(copies_for(smaller(args.tree.rows, kMostRecurrentRows)) * copy_floats_of(args.states.shape)),
        base(static_cast<char*>(args.workspace.data)) {}

  Visit* visits() const { return reinterpret_cast<Visit*>(base + prepared.bytes); }
  float* copies(int thread) const {
    return reinterpret_cast<float*>(base + prepared.bytes + visits_bytes) + thread * thread_floats;
  }

  const PreparedRows prepared;
  const int64_t visits_bytes, thread_floats;
  char* const base;
};

template <int kVecs>
void walk(const GatedDeltaArgs& args, const Scratch& scratch, int64_t sequence, int64_t value_head, int64_t column,
          float* copies) {
  const RecurrentShape& shape = args.states.shape;
  const int64_t key_dim = shape.key_dim, copy_floats = copy_floats_of(shape);
  const float* const state = columns_of(args.states, sequence, value_head, column);
  Update<kVecs> update;
  for (int64_t i = args.tree.row_offsets[sequence]; i < args.tree.row_offsets[sequence + 1]; ++i) {
    const Visit visit = scratch.visits()[i];
    const HeadRow row(args.delta, scratch.prepared, visit.row, value_head, column);
    const float* const from = visit.source < 0 ? state : copies + visit.source * copy_floats;
    Products<kVecs> products;
    if (visit.target >= 0) {
      pass<kVecs, true, Wanted::kKeyAndQuery>(from, copies + visit.target * copy_floats, key_dim, update, row.key,
                                              row.query, products);
    } else {
      pass<kVecs, false, Wanted::kKeyAndQuery>(from, nullptr, key_dim, update, row.key, row.query, products);
    }
    update = update_of(row, products);
    float* const out = as_floats(args.out) + (visit.row * shape.value_heads + value_head) * shape.value_dim + column;
    for (int v = 0; v < kVecs; ++v) {
      store(out + v * kLanes, fma(broadcast(row.product), update.delta[v], update.decay * products.query[v]));
    }
  }
}

}  // namespace

int64_t workspace(const GatedDeltaArgs& args, const Context& context) {
  const Scratch scratch(args);
  return scratch.prepared.bytes + scratch.visits_bytes + bytes_of<float>(context.threads * scratch.thread_floats);
}

void run(const GatedDeltaArgs& args, const Context& context) {
  const TreeRows& tree = args.tree;
  const RecurrentShape& shape = args.states.shape;
  IndexProblem problem;
  if (find_problem(tree, {args.states.room, Bound::kStateRows}, &problem)) {
    return report_problem(context, "gatedDelta", problem);
  }
  const Scratch scratch(args);
  const int64_t rows = tree.row_offsets[tree.sequences], out_dim = shape.value_heads * shape.value_dim;
  for (int64_t i = rows * out_dim; i < tree.rows * out_dim; ++i) as_floats(args.out)[i] = 0;
  prepare_rows(args.delta, nullptr, rows, scratch.prepared, context);
  for (int64_t s = 0; s < tree.sequences; ++s) {
    const int32_t first = tree.row_offsets[s];
    plan_walk(tree.parents, first, tree.row_offsets[s + 1] - first, scratch.visits() + first);
  }
  const int64_t slices = slices_of(shape), of_sequence = shape.value_heads * slices;
  parallel(context, rows == 0 ? 0 : tree.sequences * of_sequence, [&](int64_t part, int thread) {
    const int64_t column = part % slices * kSlice;
    with_slice(shape, column, [&]<int kVecs>() {
      walk<kVecs>(args, scratch, part / of_sequence, part % of_sequence / slices, column, scratch.copies(thread));
    });
  });
}

}  // namespace foretoken::cpu::FORETOKEN_ISA
