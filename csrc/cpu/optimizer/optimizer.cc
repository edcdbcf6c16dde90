// The norm of the gradients and the AdamW step.
#include "csrc/cpu/kernels.h"
#include "csrc/cpu/split.h"

namespace foretoken::cpu::FORETOKEN_ISA {
namespace {

// Half a vector of floats, and the vector of doubles that it converts to.
constexpr int kHalf = kLanes / 2;
typedef float HalfFloats __attribute__((vector_size(kHalf * 4)));
typedef double Doubles __attribute__((vector_size(kHalf * 8)));

double sum_of_squares(const float* in, int64_t count) {
  constexpr int kChains = 4;
  Doubles sums[kChains] = {};
  int64_t i = 0;
  for (; i + kChains * kHalf <= count; i += kChains * kHalf) {
    for (int chain = 0; chain < kChains; ++chain) {
      const auto x = __builtin_convertvector(load_bits<HalfFloats>(in + i + chain * kHalf), Doubles);
      sums[chain] += x * x;
    }
  }
  double total = 0;
  for (; i < count; ++i) total += static_cast<double>(in[i]) * static_cast<double>(in[i]);
  const Doubles sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  for (int lane = 0; lane < kHalf; ++lane) total += sum[lane];
  return total;
}

int64_t parts_of(int64_t count) { return divide_up(count, kElementsOfPart); }

}  // namespace

int64_t workspace(const SumSquaresArgs& args, const Context& context) { return bytes_of<double>(parts_of(args.count)); }

void run(const SumSquaresArgs& args, const Context& context) {
  auto* const sums = static_cast<double*>(args.workspace.data);
  split(context, args.count, kElementsOfPart, [&](int64_t begin, int64_t end) {
    sums[begin / kElementsOfPart] = sum_of_squares(args.in + begin, end - begin);
  });
  double total = 0;
  for (int64_t part = 0; part < parts_of(args.count); ++part) total += sums[part];
  *args.out = static_cast<float>(total);
}

void run(const ClipCoefficientArgs& args, const Context& context) {
  double squares = 0;
  for (int64_t bucket = 0; bucket < args.buckets; ++bucket) squares += static_cast<double>(args.sum_squares[bucket]);
  const double norm = __builtin_sqrt(squares);
  const double coefficient = static_cast<double>(args.max_norm) / (norm + 1e-6);
  *args.norm = static_cast<float>(norm);
  const bool clips = args.max_norm != 0 && coefficient <= 1;
  // NaN makes AdamW skip the step. inf - inf and NaN - NaN are NaN; all other differences are 0.
  *args.coefficient = (clips ? static_cast<float>(coefficient) : 1.0f) + static_cast<float>(norm - norm);
}

void run(const AdamwArgs& args, const Context& context) {
  if (args.grad_scale && __builtin_isnan(*args.grad_scale)) return;
  const Vec decay = broadcast(static_cast<float>(1 - args.lr * args.weight_decay));
  const Vec beta1 = broadcast(static_cast<float>(args.beta1)), rest1 = broadcast(static_cast<float>(1 - args.beta1));
  const Vec beta2 = broadcast(static_cast<float>(args.beta2)), rest2 = broadcast(static_cast<float>(1 - args.beta2));
  const Vec step = broadcast(static_cast<float>(args.lr / args.bias_correction1));
  const Vec root2 = broadcast(static_cast<float>(__builtin_sqrt(args.bias_correction2)));
  const Vec eps = broadcast(static_cast<float>(args.eps));
  const Vec scale = broadcast(args.grad_scale ? *args.grad_scale : 1.0f);
  auto* const rounded = static_cast<BFloat16*>(args.rounded);
  split(context, args.count, kElementsOfPart, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i += kLanes) {
      const int lanes = lanes_of(end - i);
      const Vec grad = scale * load_n(args.grad + i, lanes);
      const Vec m = fma(beta1, load_n(args.m + i, lanes), rest1 * grad);
      const Vec v = fma(beta2, load_n(args.v + i, lanes), rest2 * grad * grad);
      const Vec update = m / (sqrt(v) / root2 + eps);
      const Vec param = fma(-step, update, decay * load_n(args.param + i, lanes));
      store_n(args.param + i, param, lanes);
      if (rounded) store_n(rounded + i, param, lanes);
      store_n(args.m + i, m, lanes);
      store_n(args.v + i, v, lanes);
    }
  });
}

}  // namespace foretoken::cpu::FORETOKEN_ISA
