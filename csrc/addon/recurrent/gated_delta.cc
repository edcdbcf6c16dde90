// The delta rule for the nodes of draft trees.
#include "csrc/addon/families.h"
#include "csrc/addon/recurrent/arguments.h"

namespace foretoken {

namespace {

// gatedDelta(states, layer, qkv, a, b, decay, bias, rowOffsets, lengths, parents): out
napi_value gated_delta(Call& call) {
  const RecurrentStates& states = call.recurrent_states();
  const RecurrentShape& shape = states.sizes().shape;
  const RecurrentView layer = layer_of(call, states);
  const Tensor& qkv = channel_rows(call, "qkv", shape);
  const DeltaRows delta = delta_rows(call, qkv, shape);
  const int64_t rows = qkv.shape[0];
  const TreeRows tree = state_rows(call, rows, states);
  Tensor out = call.output(qkv.dtype, {rows, shape.value_heads * shape.value_dim});
  run_with_workspace(call.device(), GatedDeltaArgs{delta, layer, tree, out.data(), {}}, call.op());
  return call.handle(std::move(out));
}

}  // namespace

const Exports kGatedDeltaExports = {{"gatedDelta", gated_delta}};

}  // namespace foretoken
