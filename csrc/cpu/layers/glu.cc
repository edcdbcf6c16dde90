// Gated linear units (Shazeer 2020, "GLU Variants Improve Transformer").
#include "csrc/cpu/kernels.h"
#include "csrc/cpu/layers/activations.h"
#include "csrc/cpu/split.h"

namespace foretoken::cpu::FORETOKEN_ISA {
namespace {

struct Silu {
  static Vec value(Vec x) { return silu(x); }
  static Sigmoid share(Vec x) { return sigmoid_and_rest(x); }
  static Vec slope(Vec x, const Sigmoid& share) { return silu_slope(x, share); }
};

struct GeluTanh {
  static Vec value(Vec x) { return gelu(x); }
  static Sigmoid share(Vec x) { return sigmoid_and_rest(gelu_exponent(x)); }
  static Vec slope(Vec x, const Sigmoid& share) { return gelu_slope(x, share); }
};

template <typename F>
void with_activation(GluActivation activation, F&& f) {
  if (activation == GluActivation::kSilu) f(Silu());
  else f(GeluTanh());
}

}  // namespace

void run(const GluArgs& args, const Context& context) {
  const int64_t dim = args.dim;
  with_activation(args.activation, [&](auto activation) {
    split_rows(context, args.rows, dim, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const float* const gate = as_floats(args.gate_up) + r * 2 * dim;
        map_range(
            0, dim, as_floats(args.out) + r * dim, [=](Vec g, Vec u) { return activation.value(g) * u; }, gate,
            gate + dim);
      }
    });
  });
}

void run(const GluBackwardArgs& args, const Context& context) {
  const int64_t dim = args.dim;
  with_activation(args.activation, [&](auto activation) {
    split_rows(context, args.rows, dim, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const float *const gate = as_floats(args.gate_up) + r * 2 * dim, *const up = gate + dim;
        const float* const grad = as_floats(args.grad_out) + r * dim;
        float *const grad_gate = as_floats(args.grad_gate_up) + r * 2 * dim, *const grad_up = grad_gate + dim;
        for (int64_t i = 0; i < dim; i += kLanes) {
          const int lanes = lanes_of(dim - i);
          const Vec g = load_n(gate + i, lanes), upstream = load_n(grad + i, lanes);
          const Sigmoid share = activation.share(g);
          store_n(grad_gate + i, upstream * load_n(up + i, lanes) * activation.slope(g, share), lanes);
          store_n(grad_up + i, upstream * g * share.value, lanes);
        }
      }
    });
  });
}

}  // namespace foretoken::cpu::FORETOKEN_ISA
