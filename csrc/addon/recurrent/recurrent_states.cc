// The memory of recurrent layers: blocks that sequences get and give back.
#include "csrc/addon/families.h"
#include "csrc/addon/javascript.h"

namespace foretoken {

namespace {

// Bound grids that have blocks for each head of each sequence.
constexpr int64_t kMostSequences = int64_t{1} << 16, kMostHeads = 1024;
constexpr int64_t kDimStep = 16, kMostDim = 256;

int64_t dimension(Call& call, const char* name) {
  const int64_t dim = call.integer(name, kDimStep, kMostDim);
  if (dim % kDimStep == 0) return dim;
  call.fail(ErrorCode::kInvalidArgument, "%s must be a multiple of %lld, but is %lld", name, lld(kDimStep), lld(dim));
}

// recurrentStates(device, layers, keyHeads, valueHeads, keyDim, valueDim, taps, sequences): states
napi_value recurrent_states(Call& call) {
  const std::shared_ptr<Device> device = call.device_argument();
  call.check_not_capturing(*device);
  RecurrentSizes sizes{};
  sizes.layers = call.integer("layers", 0, INT32_MAX);
  RecurrentShape& shape = sizes.shape;
  shape.key_heads = call.integer("keyHeads", 1, kMostHeads);
  shape.value_heads = call.integer("valueHeads", 1, kMostHeads);
  if (shape.value_heads % shape.key_heads != 0) {
    call.fail(ErrorCode::kInvalidArgument, "valueHeads must be a multiple of keyHeads, but they are %lld and %lld",
              lld(shape.value_heads), lld(shape.key_heads));
  }
  shape.key_dim = dimension(call, "keyDim");
  shape.value_dim = dimension(call, "valueDim");
  shape.taps = call.integer("taps", 2, kMostTaps);
  sizes.sequences = call.integer("sequences", 1, kMostSequences);
  Environment& environment = call.environment();
  if (environment.recurrent_states.full()) call.fail(ErrorCode::kOutOfMemory, "too many live states");
  const int64_t handle =
      environment.recurrent_states.insert(std::make_shared<RecurrentStates>(device, sizes, call.op()));
  environment.report_memory();
  return Napi::Number::New(call.env(), static_cast<double>(handle));
}

// Reads a sequence that has a state.
int64_t sequence_with_state(Call& call, const char* name, const RecurrentStates& states) {
  const int64_t sequence = call.integer(name, 0, states.sizes().sequences - 1);
  if (states.has(sequence)) return sequence;
  call.fail(ErrorCode::kInvalidArgument, "%s is %lld, but must be a sequence with a state", name, lld(sequence));
}

// recurrentReserve(states, sequence): gives a sequence a block of zeros, if it has none
napi_value recurrent_reserve(Call& call) {
  RecurrentStates& states = call.recurrent_states();
  call.check_not_capturing(call.device());
  states.reserve(call.integer("sequence", 0, states.sizes().sequences - 1), call.op());
  call.environment().report_memory();
  return call.nothing();
}

// recurrentRelease(states, sequence): returns the block of a sequence to the pool
napi_value recurrent_release(Call& call) {
  RecurrentStates& states = call.recurrent_states();
  call.check_not_capturing(call.device());
  states.release(call.integer("sequence", 0, states.sizes().sequences - 1));
  return call.nothing();
}

// recurrentCopy(states, from, to): replaces the state of one sequence by that of another
napi_value recurrent_copy(Call& call) {
  RecurrentStates& states = call.recurrent_states();
  call.check_not_capturing(call.device());
  const int64_t from = sequence_with_state(call, "from", states);
  const int64_t to = call.integer("to", 0, states.sizes().sequences - 1);
  if (from == to) return call.nothing();
  states.reserve(to, call.op());
  call.environment().report_memory();
  const Tensor& block = states.block(from);
  call.device().backend().run(CopyArgs{block.data(), states.block(to).data(), block.bytes()});
  return call.nothing();
}

// recurrentBytes(states): bytes of all blocks, in use or free
napi_value recurrent_bytes(Call& call) {
  return Napi::Number::New(call.env(), static_cast<double>(call.recurrent_states().bytes()));
}

// recurrentBlock(states, sequence): the block of a sequence, [layers, floats of a layer], for tests
napi_value recurrent_block(Call& call) {
  const RecurrentStates& states = call.recurrent_states();
  Tensor block = states.block(sequence_with_state(call, "sequence", states));
  return call.handle(std::move(block));
}

// disposeRecurrentStates(states)
napi_value dispose_recurrent_states(Call& call) {
  if (!call.environment().recurrent_states.erase(call.integer("states"))) {
    call.fail(ErrorCode::kInvalidHandle, "states were disposed or are not the states of recurrent layers");
  }
  call.environment().report_memory();
  return call.nothing();
}

}  // namespace

const Exports kRecurrentStatesExports = {
    {"recurrentStates", recurrent_states},
    {"recurrentReserve", recurrent_reserve},
    {"recurrentRelease", recurrent_release},
    {"recurrentCopy", recurrent_copy},
    {"recurrentBytes", recurrent_bytes},
    {"recurrentBlock", recurrent_block},
    {"disposeRecurrentStates", dispose_recurrent_states},
};

}  // namespace foretoken
