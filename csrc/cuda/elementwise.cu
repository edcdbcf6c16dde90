// Memory and elementwise operations: every element of the output depends on its own inputs alone.
#include "csrc/cuda/kernels.h"
#include "csrc/cuda/map.cuh"

namespace foretoken::cuda {
namespace {

struct Constant {
  float value;
  FORETOKEN_DEVICE float operator()(float) const { return value; }
};

struct AddBoth {
  FORETOKEN_DEVICE float operator()(float a, float b) const { return a + b; }
};

}  // namespace

void run(const AddArgs& args, const Context& context) {
  with_activations(args.dtype, [&](auto type) {
    using T = decltype(type);
    map(context, args.count, static_cast<T*>(args.out), AddBoth(), static_cast<const T*>(args.a),
        static_cast<const T*>(args.b));
  });
}

}  // namespace foretoken::cuda
