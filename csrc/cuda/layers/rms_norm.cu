// x / rms(x) * weight (Zhang & Sennrich 2019), fused with the addition of a residual to x, its gradient, and the norm
// with a gate. A team of threads, a warp or a block, takes a row; the order of sums over a row depends on the row's
// length alone.
#include "csrc/cuda/common/activations.cuh"
#include "csrc/cuda/common/column_sums.cuh"
#include "csrc/cuda/common/reduce.cuh"
#include "csrc/cuda/common/rows.cuh"
#include "csrc/cuda/kernels.h"

namespace foretoken::cuda {
namespace {

constexpr int kThreads = 256;

// The number of columns that a thread takes at once.
template <typename T>
constexpr int kColumns = 16 / sizeof(T);

// Reads the norm's input: x, or x + residual, which it also writes to `sum`. The norm sees the rounded sum.
template <bool kVectors, typename T, int N>
FORETOKEN_DEVICE void load_sum(const RmsNormArgs& args, int64_t row, int64_t column, float (&values)[N]) {
  const int64_t begin = row * args.dim;
  load_columns<kVectors>(static_cast<const T*>(args.x) + begin, column, args.dim, values);
  if (args.residual == nullptr) return;
  float residual[N];
  load_columns<kVectors>(static_cast<const T*>(args.residual) + begin, column, args.dim, residual);
#pragma unroll
  for (int i = 0; i < N; ++i) values[i] = to_float(from_float<T>(values[i] + residual[i]));
  store_columns<kVectors>(static_cast<T*>(args.sum) + begin, column, args.dim, values);
}

template <int N>
FORETOKEN_DEVICE float add_squares(float sum, const float (&x)[N]) {
#pragma unroll
  for (int i = 0; i < N; ++i) sum = fmaf(x[i], x[i], sum);
  return sum;
}

// 1 / rms of a team's row, for every thread of the team; `squares` is the sum of what the thread has read.
template <int kTeam>
FORETOKEN_DEVICE float inverse_rms(float squares, int64_t dim, float eps, float* shared) {
  squares = reduce_block<kTeam>(squares, Sum(), 0.0f, shared);
  return 1.0f / sqrtf(squares / static_cast<float>(dim) + eps);
}

template <int kTeam, bool kVectors, typename T>
__global__ void __launch_bounds__(kThreads) rms_norm_kernel(RmsNormArgs args) {
  constexpr int N = kColumns<T>;
  FORETOKEN_SHARED(float, shared, [kThreads / kWarp]);
  const int64_t row = static_cast<int64_t>(blockIdx.x) * (kThreads / kTeam) + threadIdx.y, dim = args.dim;
  if (row >= args.rows) return;
  float squares = 0;
  for (int64_t column = threadIdx.x * N; column < dim; column += kTeam * N) {
    float x[N];
    load_sum<kVectors, T>(args, row, column, x);
    squares = add_squares(squares, x);
  }
  const float rstd = inverse_rms<kTeam>(squares, dim, args.eps, shared);
  if (threadIdx.x == 0) args.rstd[row] = rstd;
  // Reads the same columns again, from a cache. A thread reads only what it wrote to `sum` itself, so no barrier is
  // needed.
  const T* const normed = static_cast<const T*>(args.residual ? args.sum : args.x) + row * dim;
  for (int64_t column = threadIdx.x * N; column < dim; column += kTeam * N) {
    float x[N], weight[N];
    load_columns<kVectors>(normed, column, dim, x);
    load_columns<kVectors>(args.weight, column, dim, weight);
#pragma unroll
    for (int i = 0; i < N; ++i) x[i] = x[i] * rstd * weight[i];
    store_columns<kVectors>(static_cast<T*>(args.y) + row * dim, column, dim, x);
  }
}

// grad_x = rstd (g - y mean(g y)) with g = grad_y weight and y = x rstd
template <int kTeam, bool kVectors, typename T>
FORETOKEN_DEVICE void backward_row(const RmsNormBackwardArgs& args, int64_t row, float* shared) {
  constexpr int N = kColumns<T>;
  const int64_t dim = args.dim;
  const T* const grad_y = static_cast<const T*>(args.grad_y) + row * dim;
  const T* const x = static_cast<const T*>(args.x) + row * dim;
  const float rstd = args.rstd[row];
  float product = 0;
  for (int64_t column = threadIdx.x * N; column < dim; column += kTeam * N) {
    float g[N], w[N], v[N];
    load_columns<kVectors>(grad_y, column, dim, g);
    load_columns<kVectors>(args.weight, column, dim, w);
    load_columns<kVectors>(x, column, dim, v);
#pragma unroll
    for (int i = 0; i < N; ++i) product = fmaf(g[i] * w[i], v[i], product);
  }
  product = reduce_block<kTeam>(product, Sum(), 0.0f, shared);
  const float mean = product * rstd / static_cast<float>(dim);
  for (int64_t column = threadIdx.x * N; column < dim; column += kTeam * N) {
    float g[N], w[N], v[N];
    load_columns<kVectors>(grad_y, column, dim, g);
    load_columns<kVectors>(args.weight, column, dim, w);
    load_columns<kVectors>(x, column, dim, v);
#pragma unroll
    for (int i = 0; i < N; ++i) g[i] = rstd * fmaf(-mean, v[i] * rstd, g[i] * w[i]);
    store_columns<kVectors>(static_cast<T*>(args.grad_x) + row * dim, column, dim, g);
  }
}

// A team takes a run of rows, one after the other, and then sums their share of the weight's gradient; that reads the
// same memory again while it is still in a cache. Two blocks a multiprocessor: without this bound ptxas chooses so few
// registers that they spill.
template <int kTeam, bool kVectors, typename T>
__global__ void __launch_bounds__(kThreads, 2)
    rms_norm_backward_kernel(RmsNormBackwardArgs args, int64_t rows_each, float* partials) {
  constexpr int N = kColumns<T>;
  FORETOKEN_SHARED(float, shared, [kThreads / kWarp]);
  const int64_t team = static_cast<int64_t>(blockIdx.x) * (kThreads / kTeam) + threadIdx.y, dim = args.dim;
  const int64_t begin = team * rows_each, end = std::min(args.rows, begin + rows_each);
  for (int64_t row = begin; row < end; ++row) backward_row<kTeam, kVectors, T>(args, row, shared);
  if (partials == nullptr || begin >= args.rows) return;
  for (int64_t column = threadIdx.x * N; column < dim; column += kTeam * N) {
    float sums[N] = {};
#pragma unroll 4
    for (int64_t row = begin; row < end; ++row) {
      float g[N], v[N];
      load_columns<kVectors>(static_cast<const T*>(args.grad_y) + row * dim, column, dim, g);
      load_columns<kVectors>(static_cast<const T*>(args.x) + row * dim, column, dim, v);
#pragma unroll
      for (int i = 0; i < N; ++i) sums[i] = fmaf(g[i], v[i] * args.rstd[row], sums[i]);
    }
    store_columns<kVectors>(partials + team * dim, column, dim, sums);
  }
}

template <int kTeam, bool kVectors, typename T>
__global__ void __launch_bounds__(kThreads) gated_rms_norm_kernel(GatedRmsNormArgs args) {
  constexpr int N = kColumns<T>;
  FORETOKEN_SHARED(float, shared, [kThreads / kWarp]);
  const int64_t row = static_cast<int64_t>(blockIdx.x) * (kThreads / kTeam) + threadIdx.y, dim = args.dim;
  if (row >= args.rows) return;
  const T* const input = static_cast<const T*>(args.x) + row * dim;
  float squares = 0;
  for (int64_t column = threadIdx.x * N; column < dim; column += kTeam * N) {
    float x[N];
    load_columns<kVectors>(input, column, dim, x);
    squares = add_squares(squares, x);
  }
  const float rstd = inverse_rms<kTeam>(squares, dim, args.eps, shared);
  for (int64_t column = threadIdx.x * N; column < dim; column += kTeam * N) {
    float x[N], weight[N], gate[N];
    load_columns<kVectors>(input, column, dim, x);
    load_columns<kVectors>(args.weight, column, dim, weight);
    load_columns<kVectors>(static_cast<const T*>(args.gate) + row * dim, column, dim, gate);
#pragma unroll
    for (int i = 0; i < N; ++i) x[i] = x[i] * rstd * weight[i] * silu(gate[i]);
    store_columns<kVectors>(static_cast<T*>(args.y) + row * dim, column, dim, x);
  }
}

// Calls f(threads of a team, whether vectors fit), both as types.
template <typename F>
void with_form(int64_t dim, bool vectors, F f) {
  constexpr int64_t kMostOfWarp = 512;
  const auto with_team = [&](auto fit) {
    if (dim <= kMostOfWarp) f(std::integral_constant<int, kWarp>(), fit);
    else f(std::integral_constant<int, kThreads>(), fit);
  };
  if (vectors) with_team(std::true_type());
  else with_team(std::false_type());
}

dim3 blocks_of(int64_t teams, int team) { return dim3(static_cast<unsigned>(divide_up(teams, kThreads / team))); }
dim3 block_of(int team) { return dim3(static_cast<unsigned>(team), static_cast<unsigned>(kThreads / team)); }

// The number of rows that a team of the backward pass takes: enough teams to fill a GPU, and few enough that reading
// their partial sums is quick.
int64_t rows_of_team(const RmsNormBackwardArgs& args) {
  constexpr int64_t kFewestRows = 4, kMostPartials = 1 << 19;
  return std::max(kFewestRows,
                  divide_up(args.rows, std::max(int64_t{512}, kMostPartials / std::max(args.dim, int64_t{1}))));
}

}  // namespace

void run(const RmsNormArgs& args, const Context& context) {
  with_activations(args.dtype, [&](auto type) {
    using T = decltype(type);
    const bool vectors = vectors_fit({args.x, args.residual, args.sum, args.weight, args.y},
                                     {args.dim * static_cast<int64_t>(sizeof(T))});
    with_form(args.dim, vectors, [&](auto team, auto fit) {
      launch(context, rms_norm_kernel<team(), fit(), T>, blocks_of(args.rows, team), block_of(team), 0, args);
    });
  });
}

int64_t workspace(const RmsNormBackwardArgs& args, const Context&) {
  if (args.grad_weight == nullptr) return 0;
  return divide_up(args.rows, rows_of_team(args)) * args.dim * static_cast<int64_t>(sizeof(float));
}

void run(const RmsNormBackwardArgs& args, const Context& context) {
  auto* const partials = args.grad_weight ? static_cast<float*>(args.workspace.data) : nullptr;
  const int64_t rows_each = rows_of_team(args), teams = divide_up(args.rows, rows_each);
  with_activations(args.dtype, [&](auto type) {
    using T = decltype(type);
    const bool vectors = vectors_fit({args.grad_y, args.x, args.weight, args.grad_x, partials},
                                     {args.dim * static_cast<int64_t>(sizeof(T))});
    with_form(args.dim, vectors, [&](auto team, auto fit) {
      launch(context, rms_norm_backward_kernel<team(), fit(), T>, blocks_of(teams, team), block_of(team), 0, args,
             rows_each, partials);
    });
  });
  if (partials) add_column_sums(context, partials, teams, args.dim, args.dim, args.grad_weight);
}

void run(const GatedRmsNormArgs& args, const Context& context) {
  with_activations(args.dtype, [&](auto type) {
    using T = decltype(type);
    const bool vectors =
        vectors_fit({args.x, args.gate, args.weight, args.y}, {args.dim * static_cast<int64_t>(sizeof(T))});
    with_form(args.dim, vectors, [&](auto team, auto fit) {
      launch(context, gated_rms_norm_kernel<team(), fit(), T>, blocks_of(args.rows, team), block_of(team), 0, args);
    });
  });
}

}  // namespace foretoken::cuda
