#include "csrc/addon/recurrent/arguments.h"

#include "csrc/addon/attention/arguments.h"
#include "csrc/core/tree.h"

namespace foretoken {

RecurrentView layer_of(Call& call, const RecurrentStates& states) {
  return states.view(call.integer("layer", 0, states.sizes().layers - 1));
}

const Tensor& channel_rows(Call& call, const char* name, const RecurrentShape& shape) {
  const Tensor& rows = call.activations(name);
  call.check_rank(rows, name, 2);
  call.check_shape(rows, name, {rows.shape[0], shape.channels()});
  return rows;
}

DeltaRows delta_rows(Call& call, const Tensor& qkv, const RecurrentShape& shape) {
  const Tensor& a = call.activations("a");
  const Tensor& b = call.activations("b");
  const Tensor& decay = call.float32("decay");
  const Tensor& bias = call.float32("bias");
  call.check_shape(a, "a", {qkv.shape[0], shape.value_heads});
  call.check_shape(b, "b", {qkv.shape[0], shape.value_heads});
  call.check_shape(decay, "decay", {shape.value_heads});
  call.check_shape(bias, "bias", {shape.value_heads});
  return {qkv.data(), a.data(), b.data(), decay.as<float>(), bias.as<float>(), qkv.dtype};
}

TreeRows state_rows(Call& call, int64_t rows, const RecurrentStates& states) {
  const Tensor& row_offsets = call.int32("rowOffsets");
  const Tensor& lengths = call.int32("lengths");
  const Tensor& parents = call.int32("parents");
  const int64_t sequences = first_sequences(call, lengths, "lengths", states.sizes().sequences);
  call.check_shape(row_offsets, "rowOffsets", {sequences + 1});
  call.check_shape(parents, "parents", {rows});
  IndexProblem problem;
  const TreeRows known = {row_offsets.known_indices(), nullptr, parents.known_indices(), rows, sequences};
  if (find_problem(known, {states.room().data(), Bound::kStateRows}, &problem)) {
    call.fail(ErrorCode::kIndexOutOfRange, "%s", text_of(problem).c_str());
  }
  return {row_offsets.as<int32_t>(), nullptr, parents.as<int32_t>(), rows, sequences};
}

}  // namespace foretoken
