// x / rms(x) * weight (Zhang & Sennrich 2019), its gradient, and the norm with a gate. The order of a sum over a row
// depends only on the row's length.
#include "csrc/cpu/kernels.h"
#include "csrc/cpu/layers/activations.h"
#include "csrc/cpu/split.h"

namespace foretoken::cpu::FORETOKEN_ISA {
namespace {

// Σ f(i, lanes) over the vectors of a row, in several chains, because a single one would wait for its own additions. All
// levels add in the same order: element i to sum i mod 32, then these sums pairwise, in a tree.
template <typename F>
float sum_row(int64_t dim, F f) {
  constexpr int kSums = 32, kChains = kSums / kLanes;
  Vec sums[kChains] = {};
  int64_t i = 0;
  for (; i + kChains * kLanes <= dim; i += kChains * kLanes) {
    for (int chain = 0; chain < kChains; ++chain) sums[chain] += f(i + chain * kLanes, kLanes);
  }
  if (i < dim) {
    for (int chain = 0; chain < kChains; ++chain, i += kLanes) sums[chain] += f(i, lanes_of(dim - i));
  }
  float totals[kSums];
  for (int chain = 0; chain < kChains; ++chain) store(totals + chain * kLanes, sums[chain]);
  for (int half = kSums / 2; half > 0; half /= 2) {
    for (int s = 0; s < half; ++s) totals[s] += totals[s + half];
  }
  return totals[0];
}

// 1 / rms of a row
float inverse_rms(const float* x, int64_t dim, float eps) {
  const float squares = sum_row(dim, [&](int64_t i, int lanes) {
    const Vec v = load_n(x + i, lanes);
    return v * v;
  });
  const double mean = static_cast<double>(squares) / static_cast<double>(dim);
  return static_cast<float>(1 / __builtin_sqrt(mean + static_cast<double>(eps)));
}

// Number of rows in a block, whose share of grad_weight is summed before it is added to the total.
int64_t rows_of_block(int64_t rows) {
  constexpr int64_t kFewestRows = 16, kMostBlocks = 64;
  return larger(kFewestRows, divide_up(rows, kMostBlocks));
}

int64_t blocks_of(int64_t rows) { return divide_up(rows, rows_of_block(rows)); }

// grad_x = rstd (g - y mean(g y)) with g = grad_y weight and y = x rstd. Adds grad_y y to `grad_weight` unless null.
void backward_row(const RmsNormBackwardArgs& args, int64_t row, float* grad_weight) {
  const int64_t dim = args.dim;
  const float *const grad_y = as_floats(args.grad_y) + row * dim, *const x = as_floats(args.x) + row * dim;
  const float rstd = args.rstd[row];
  const float product = sum_row(dim, [&](int64_t i, int lanes) {
    return load_n(grad_y + i, lanes) * load_n(args.weight + i, lanes) * load_n(x + i, lanes);
  });
  const Vec scale = broadcast(rstd);
  const Vec mean = broadcast(product * rstd / static_cast<float>(dim));
  const auto grad_x = [=](Vec grad, Vec weight, Vec x) { return scale * fma(-mean, x * scale, grad * weight); };
  map_range(0, dim, as_floats(args.grad_x) + row * dim, grad_x, grad_y, args.weight, x);
  if (grad_weight == nullptr) return;
  const auto add = [=](Vec sum, Vec grad, Vec x) { return fma(grad, x * scale, sum); };
  map_range(0, dim, grad_weight, add, grad_weight, grad_y, x);
}

// Returns the row of x, or with a residual the row of the sum, after writing it.
const float* row_to_norm(const RmsNormArgs& args, int64_t row) {
  const int64_t dim = args.dim;
  const float* const x = as_floats(args.x) + row * dim;
  if (args.residual == nullptr) return x;
  float* const sum = as_floats(args.sum) + row * dim;
  const auto add = [](Vec x, Vec residual) { return x + residual; };
  map_range(0, dim, sum, add, x, as_floats(args.residual) + row * dim);
  return sum;
}

}  // namespace

void run(const RmsNormArgs& args, const Context& context) {
  const int64_t dim = args.dim;
  split_rows(context, args.rows, dim, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float* const x = row_to_norm(args, r);
      const float rstd = inverse_rms(x, dim, args.eps);
      const Vec scale = broadcast(rstd);
      map_range(
          0, dim, as_floats(args.y) + r * dim, [=](Vec x, Vec weight) { return x * scale * weight; }, x, args.weight);
      args.rstd[r] = rstd;
    }
  });
}

int64_t workspace(const RmsNormBackwardArgs& args, const Context& context) {
  if (args.grad_weight == nullptr) return 0;
  return bytes_of<float>(blocks_of(args.rows) * args.dim);
}

void run(const RmsNormBackwardArgs& args, const Context& context) {
  const int64_t dim = args.dim, blocks = blocks_of(args.rows);
  auto* const partials = static_cast<float*>(args.workspace.data);
  split(context, args.rows, rows_of_block(args.rows), [&](int64_t begin, int64_t end) {
    float* const partial = args.grad_weight ? partials + begin / rows_of_block(args.rows) * dim : nullptr;
    if (partial) map_range(0, dim, partial, [] { return Vec{}; });
    for (int64_t r = begin; r < end; ++r) backward_row(args, r, partial);
  });
  if (args.grad_weight == nullptr) return;
  for (int64_t block = 0; block < blocks; ++block) {
    const auto add = [](Vec sum, Vec partial) { return sum + partial; };
    map_range(0, dim, args.grad_weight, add, args.grad_weight, partials + block * dim);
  }
}

void run(const GatedRmsNormArgs& args, const Context& context) {
  const int64_t dim = args.dim;
  split_rows(context, args.rows, dim, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float *const x = as_floats(args.x) + r * dim, *const gate = as_floats(args.gate) + r * dim;
      const Vec scale = broadcast(inverse_rms(x, dim, args.eps));
      const auto gated = [=](Vec x, Vec weight, Vec gate) { return x * scale * weight * silu(gate); };
      map_range(0, dim, as_floats(args.y) + r * dim, gated, x, args.weight, gate);
    }
  });
}

}  // namespace foretoken::cpu::FORETOKEN_ISA
