// The convolution of recurrent layers over the inputs on each row's path.
#include "csrc/addon/families.h"
#include "csrc/addon/recurrent/arguments.h"

namespace foretoken {

namespace {

// shortConvolution(states, layer, x, weight, rowOffsets, lengths, parents): out
napi_value short_convolution(Call& call) {
  const RecurrentStates& states = call.recurrent_states();
  const RecurrentShape& shape = states.sizes().shape;
  const RecurrentView layer = layer_of(call, states);
  const Tensor& x = channel_rows(call, "x", shape);
  const Tensor& weight = call.float32("weight");
  call.check_shape(weight, "weight", {shape.channels(), shape.taps});
  const TreeRows tree = state_rows(call, x.shape[0], states);
  Tensor out = call.output(x.dtype, x.shape);
  call.device().backend().run(ShortConvolutionArgs{x.data(), weight.data(), layer, tree, out.data(), x.dtype});
  return call.handle(std::move(out));
}

}  // namespace

const Exports kShortConvolutionExports = {{"shortConvolution", short_convolution}};

}  // namespace foretoken
