// Memory and elementwise operations: every element of the output depends only on its own inputs.
#include "csrc/cpu/kernels.h"
#include "csrc/cpu/layers/activations.h"
#include "csrc/cpu/linear/pack.h"
#include "csrc/cpu/split.h"

namespace foretoken::cpu::FORETOKEN_ISA {
void run(const FillArgs& args, const Context& context) {
  const Vec value = broadcast(args.value);
  with_type(args.out, args.dtype, [&](auto out) { map(context, args.count, out, [=] { return value; }); });
}

void run(const CopyArgs& args, const Context& context) {
  split(context, args.bytes, kElementsOfPart * 4, [&](int64_t begin, int64_t end) {
    __builtin_memcpy(static_cast<char*>(args.out) + begin, static_cast<const char*>(args.in) + begin,
                     static_cast<size_t>(end - begin));
  });
}

void run(const CastArgs& args, const Context& context) {
  const auto same = [](Vec x) { return x; };
  with_type(args.in, args.in_dtype, [&](auto in) {
    with_type(args.out, args.out_dtype, [&](auto out) { map(context, args.count, out, same, in); });
  });
}

void run(const AddArgs& args, const Context& context) {
  const auto sum = [](Vec a, Vec b) { return a + b; };
  map(context, args.count, as_floats(args.out), sum, as_floats(args.a), as_floats(args.b));
}

void run(const AccumulateArgs& args, const Context& context) {
  const Vec scale = broadcast(args.factor ? args.scale * *args.factor : args.scale);
  const auto add = [=](Vec out, Vec in) { return fma(scale, in, out); };
  float* const out = as_floats(args.out);
  map(context, args.count, out, add, out, as_floats(args.in));
}

void run(const ScaleArgs& args, const Context& context) {
  const Vec scale = broadcast(args.factor ? args.scale * *args.factor : args.scale);
  const auto scaled = [=](Vec in) { return scale * in; };
  map(context, args.count, as_floats(args.out), scaled, as_floats(args.in));
}

void run(const SiluArgs& args, const Context& context) {
  map(context, args.count, as_floats(args.out), silu, as_floats(args.x));
}

void run(const SiluBackwardArgs& args, const Context& context) {
  const auto gradient = [](Vec grad, Vec x) { return grad * silu_slope(x, sigmoid_and_rest(x)); };
  map(context, args.count, as_floats(args.grad_x), gradient, as_floats(args.grad_out), as_floats(args.x));
}

void run(const SigmoidGateArgs& args, const Context& context) {
  const auto gated = [](Vec x, Vec gate) { return x * sigmoid(gate); };
  map(context, args.count, as_floats(args.out), gated, as_floats(args.x), as_floats(args.gate));
}

void run(const ConcatArgs& args, const Context& context) {
  const int64_t dim = args.dim_a + args.dim_b;
  split_rows(context, args.rows, dim, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      float* const out = as_floats(args.out) + r * dim;
      copy_floats(out, as_floats(args.a) + r * args.dim_a, args.dim_a);
      copy_floats(out + args.dim_a, as_floats(args.b) + r * args.dim_b, args.dim_b);
    }
  });
}

void run(const SliceColumnsArgs& args, const Context& context) {
  split_rows(context, args.rows, args.dim, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      copy_floats(as_floats(args.out) + r * args.dim, as_floats(args.in) + r * args.stride + args.start, args.dim);
    }
  });
}

}  // namespace foretoken::cpu::FORETOKEN_ISA
