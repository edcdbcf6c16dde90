// Applies accepted rows to the states of recurrent layers.
#include "csrc/addon/attention/arguments.h"
#include "csrc/addon/families.h"
#include "csrc/addon/recurrent/arguments.h"
#include "csrc/core/tree.h"

namespace foretoken {

namespace {

// commitRecurrent(states, layer, x, qkv, a, b, decay, bias, rowOffsets, path, counts): changes the states
napi_value commit_recurrent(Call& call) {
  const RecurrentStates& states = call.recurrent_states();
  const RecurrentShape& shape = states.sizes().shape;
  const RecurrentView layer = layer_of(call, states);
  const Tensor& x = channel_rows(call, "x", shape);
  const Tensor& qkv = channel_rows(call, "qkv", shape);
  const int64_t rows = x.shape[0];
  call.check_shape(qkv, "qkv", x.shape);
  const DeltaRows delta = delta_rows(call, qkv, shape);
  const Tensor& row_offsets = call.int32("rowOffsets");
  const Tensor& path = call.int32("path");
  const Tensor& counts = call.int32("counts");
  const int64_t sequences = first_sequences(call, counts, "counts", states.sizes().sequences);
  call.check_shape(row_offsets, "rowOffsets", {sequences + 1});
  call.check_rank(path, "path", 2);
  const int64_t path_stride = path.shape[1];
  call.check_shape(path, "path", {sequences, path_stride});
  RecurrentView known = layer;
  known.room = states.room().data();
  IndexProblem problem;
  if (find_problem(CommitRecurrentArgs{x.data(),
                                       delta,
                                       known,
                                       row_offsets.known_indices(),
                                       path.known_indices(),
                                       counts.known_indices(),
                                       rows,
                                       sequences,
                                       path_stride,
                                       {}},
                   &problem)) {
    call.fail(ErrorCode::kIndexOutOfRange, "%s", text_of(problem).c_str());
  }
  run_with_workspace(call.device(),
                     CommitRecurrentArgs{x.data(),
                                         delta,
                                         layer,
                                         row_offsets.as<int32_t>(),
                                         path.as<int32_t>(),
                                         counts.as<int32_t>(),
                                         rows,
                                         sequences,
                                         path_stride,
                                         {}},
                     call.op());
  return call.nothing();
}

}  // namespace

const Exports kCommitRecurrentExports = {{"commitRecurrent", commit_recurrent}};

}  // namespace foretoken
