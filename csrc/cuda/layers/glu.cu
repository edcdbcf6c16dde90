// Gated linear units (Shazeer 2020, "GLU Variants Improve Transformer"). Activations of gates never exist in memory.
#include "csrc/cuda/common/activations.cuh"
#include "csrc/cuda/common/rows.cuh"
#include "csrc/cuda/kernels.h"

namespace foretoken::cuda {
namespace {

struct Silu {
  FORETOKEN_DEVICE static float value(float x) { return silu(x); }
  FORETOKEN_DEVICE static Sigmoid share(float x) { return sigmoid_and_rest(x); }
  FORETOKEN_DEVICE static float slope(float x, const Sigmoid& share) { return silu_slope(x, share); }
};

struct GeluTanh {
  FORETOKEN_DEVICE static float value(float x) { return gelu(x); }
  FORETOKEN_DEVICE static Sigmoid share(float x) { return sigmoid_and_rest(gelu_exponent(x)); }
  FORETOKEN_DEVICE static float slope(float x, const Sigmoid& share) { return gelu_slope(x, share); }
};

template <typename T, typename Activation>
struct GluOf {
  const T* gate_up;
  T* out;
  int64_t dim;

  template <int N>
  FORETOKEN_DEVICE void at(int64_t row, int64_t column) const {
    float gate[N], up[N];
    load<N>(gate_up + row * 2 * dim + column, gate);
    load<N>(gate_up + row * 2 * dim + dim + column, up);
#pragma unroll
    for (int i = 0; i < N; ++i) up[i] *= Activation::value(gate[i]);
    store<N>(out + row * dim + column, up);
  }
};

template <typename T, typename Activation>
struct GluGradient {
  const T *grad_out, *gate_up;
  T* grad_gate_up;
  int64_t dim;

  template <int N>
  FORETOKEN_DEVICE void at(int64_t row, int64_t column) const {
    float grad[N], gate[N], up[N], grad_gate[N], grad_up[N];
    load<N>(grad_out + row * dim + column, grad);
    load<N>(gate_up + row * 2 * dim + column, gate);
    load<N>(gate_up + row * 2 * dim + dim + column, up);
#pragma unroll
    for (int i = 0; i < N; ++i) {
      const Sigmoid share = Activation::share(gate[i]);
      grad_gate[i] = grad[i] * up[i] * Activation::slope(gate[i], share);
      grad_up[i] = grad[i] * gate[i] * share.value;
    }
    store<N>(grad_gate_up + row * 2 * dim + column, grad_gate);
    store<N>(grad_gate_up + row * 2 * dim + dim + column, grad_up);
  }
};

// Calls f(element, activation): a T{} of the activations' type, and the function of the gates.
template <typename Args, typename F>
void with_activation(const Args& args, F&& f) {
  with_activations(args.dtype, [&](auto element) {
    if (args.activation == GluActivation::kSilu) f(element, Silu());
    else f(element, GeluTanh());
  });
}

}  // namespace

void run(const GluArgs& args, const Context& context) {
  with_activation(args, [&](auto element, auto activation) {
    using T = decltype(element);
    const GluOf<T, decltype(activation)> glu{static_cast<const T*>(args.gate_up), static_cast<T*>(args.out), args.dim};
    const bool vectors = vectors_fit({args.gate_up, args.out}, {args.dim * static_cast<int64_t>(sizeof(T))});
    for_rows<16 / sizeof(T)>(context, args.rows, args.dim, vectors, glu);
  });
}

void run(const GluBackwardArgs& args, const Context& context) {
  with_activation(args, [&](auto element, auto activation) {
    using T = decltype(element);
    const GluGradient<T, decltype(activation)> gradient{static_cast<const T*>(args.grad_out),
                                                        static_cast<const T*>(args.gate_up),
                                                        static_cast<T*>(args.grad_gate_up), args.dim};
    const bool vectors =
        vectors_fit({args.grad_out, args.gate_up, args.grad_gate_up}, {args.dim * static_cast<int64_t>(sizeof(T))});
    for_rows<16 / sizeof(T)>(context, args.rows, args.dim, vectors, gradient);
  });
}

}  // namespace foretoken::cuda
