// Computes the loss, the statistics and the gradient's coefficients of each row from its strips; and the totals. All
// sums are float64, in an order that depends on the row alone.
#include "csrc/cuda/common/reduce.cuh"
#include "csrc/cuda/loss/linear_cross_entropy.cuh"

namespace foretoken::cuda::loss {
namespace {

constexpr int kThreads = 256;
constexpr int kRowsOfBlock = kThreads / kWarp;

struct Largest {
  float value;
  int64_t strip;  // the first one that holds `value`
};

FORETOKEN_DEVICE Largest find_largest(const Partial* strips, int64_t count, int lane) {
  Largest own = {-INFINITY, lane};
  for (int64_t s = lane; s < count; s += kWarp) {
    if (strips[s].largest > own.value) own = {strips[s].largest, s};
  }
  const float value = reduce_warp(own.value, Max());
  const int64_t candidate = own.value == value ? own.strip : count;
  return {value, reduce_warp(candidate, Min())};
}

// Sums over a row, with t = z - top: Σ e^t and Σ t e^t without the target, and Σ t with it.
struct Moments {
  double sum = 0, weighted = 0, distances = 0;
};

FORETOKEN_DEVICE Moments moments_of(const Partial* strips, int64_t count, int64_t vocab, double top, float base,
                                    int lane) {
  Moments result;
  for (int64_t s = lane; s < count; s += kWarp) {
    const Partial strip = strips[s];
    if (strip.largest == -INFINITY && strip.sum == 0) {  // all logits are -inf, none is NaN
      result.distances += static_cast<double>(strip.distances);
      continue;
    }
    const double distance = static_cast<double>(reference_of(strip.largest, base)) - top;
    const double factor = ::exp(distance), sum = static_cast<double>(strip.sum);
    const int64_t columns = min(vocab - s * kStripWidth, int64_t{kStripWidth});
    result.sum += factor * sum;
    result.weighted +=
        factor * (static_cast<double>(strip.weighted) + (static_cast<double>(strip.largest) - top) * sum);
    result.distances += static_cast<double>(strip.distances) + static_cast<double>(columns) * distance;
  }
  return {reduce_warp(result.sum, Sum()), reduce_warp(result.weighted, Sum()), reduce_warp(result.distances, Sum())};
}

// A warp finishes a row, with the formulas of csrc/cpu/loss/linear_cross_entropy.cc.
__global__ void __launch_bounds__(kThreads) finish_rows_kernel(LinearCrossEntropyArgs args, Chunk chunk) {
  const int64_t i = int64_t{blockIdx.x} * kRowsOfBlock + threadIdx.x / kWarp;
  const int lane = threadIdx.x % kWarp;
  if (i >= chunk.progress->size) return;
  const LossOptions& options = args.options;
  const Partial* const strips = chunk.partials + i * chunk.strips;
  const Largest largest = find_largest(strips, chunk.strips, lane);
  const double top = static_cast<double>(largest.value);
  const Moments others = moments_of(strips, chunk.strips, args.vocab, top, base_of(chunk.exponentials, i), lane);
  if (lane != 0) return;

  // The target is kept apart, so that 1 - p(target) is a sum of small numbers and not a difference of large ones.
  const double own = static_cast<double>(chunk.own[i]);
  const double own_distance = own - top;
  const double own_t = own_distance < kFloor ? kFloor : own_distance;  // NaN stays
  const double own_weight = ::exp(own_t);
  const double sum = others.sum + own_weight;
  const double log_sum = own_distance == 0 ? ::log1p(others.sum) : ::log(sum);
  const double lse = top + log_sum;
  const double entropy = log_sum - (others.weighted + own_weight * own_t) / sum;
  const double nll = log_sum - own_distance;

  const double smoothing = static_cast<double>(options.label_smoothing), vocab = static_cast<double>(args.vocab);
  double loss = (1 - smoothing) * nll;
  if (smoothing != 0) loss += smoothing * (log_sum - others.distances / vocab);
  if (options.z_loss != 0) loss += static_cast<double>(options.z_loss) * lse * lse;
  if (options.entropy_weight != 0) loss += static_cast<double>(options.entropy_weight) * entropy;
  chunk.losses[i] = loss;
  const int64_t row = chunk.rows[i];
  if (args.nll) args.nll[row] = static_cast<float>(nll);
  if (args.lse && args.mode != LossMode::kBackward) args.lse[row] = static_cast<float>(lse);
  if (args.entropy) args.entropy[row] = static_cast<float>(entropy);
  if (args.argmax) args.argmax[row] = chunk.argmaxes[i * chunk.strips + largest.strip];
  if (args.rank) args.rank[row] = 0;  // later kernels count
  if (!wants_gradients(args)) return;

  // dloss/dz_j = p_j (1 + 2ζ lse - β (log p_j + H)) - ε/V - (1-ε) [j = target], with log p_j = t_j - log_sum
  const double weight = chunk.weights[i];
  const double slope = -static_cast<double>(options.entropy_weight);
  const double extra = 2 * static_cast<double>(options.z_loss) * lse + slope * (entropy - log_sum);
  const double spread = smoothing / vocab;
  double own_gradient = -others.sum / sum + smoothing - spread + own_weight / sum * (extra + slope * own_t);
  if (options.softcap > 0) {
    const double ratio = own / static_cast<double>(options.softcap);
    own_gradient *= 1 - ratio * ratio;
  }
  chunk.gradients[i] = {.top = largest.value,
                        .scale = static_cast<float>(weight * (1 + extra) / sum),
                        .slope = static_cast<float>(weight * slope / sum),
                        .offset = static_cast<float>(weight * spread),
                        .own = static_cast<float>(weight * own_gradient)};
}

// sum + values[0] + values[1] + …, with reads that do not wait for the additions.
FORETOKEN_DEVICE double add_in_order(double sum, const double (&values)[kThreads]) {
  constexpr int kAtOnce = 16;
  for (int j = 0; j < kThreads; j += kAtOnce) {
    double ahead[kAtOnce];
#pragma unroll
    for (int k = 0; k < kAtOnce; ++k) ahead[k] = values[j + k];
#pragma unroll
    for (int k = 0; k < kAtOnce; ++k) sum += ahead[k];
  }
  return sum;
}

// Sums the losses of the chunk in row order, so that the bits of a total do not depend on chunks. One thread sums for
// each head, and one of another warp for all heads; the others load the numbers, with zeros after the last, which
// change nothing.
__global__ void __launch_bounds__(kThreads) add_totals_kernel(LinearCrossEntropyArgs args, Chunk chunk) {
  FORETOKEN_SHARED(double, losses, [kThreads]);
  FORETOKEN_SHARED(double, weighted, [kThreads]);
  FORETOKEN_SHARED(int64_t, heads, [kThreads]);
  Progress& progress = *chunk.progress;
  const int64_t size = progress.size, rows_of_head = args.rows / args.heads;
  int64_t head = progress.head;
  double head_loss = progress.head_loss, total = progress.total;
  for (int64_t first = 0; first < size; first += kThreads) {
    const int64_t i = first + threadIdx.x;
    losses[threadIdx.x] = i < size ? chunk.losses[i] : 0;
    weighted[threadIdx.x] = i < size ? chunk.weights[i] * chunk.losses[i] : 0;
    heads[threadIdx.x] = chunk.rows[i < size ? i : size - 1] / rows_of_head;
    __syncthreads();
    if (threadIdx.x == kWarp) {
      total = add_in_order(total, weighted);
    } else if (threadIdx.x == 0 && heads[0] == head && heads[kThreads - 1] == head) {
      head_loss = add_in_order(head_loss, losses);
    } else if (threadIdx.x == 0) {
      for (int j = 0; j < kThreads; ++j) {
        if (heads[j] != head) {
          args.head_loss[head] = static_cast<float>(head_loss);
          head = heads[j];
          head_loss = 0;
        }
        head_loss += losses[j];
      }
    }
    __syncthreads();
  }
  if (size == 0) return;
  if (threadIdx.x == 0) {
    args.head_loss[head] = static_cast<float>(head_loss);
    progress.head = head;
    progress.head_loss = head_loss;
  } else if (threadIdx.x == kWarp) {
    *args.total = static_cast<float>(total);
    progress.total = total;
  }
}

}  // namespace

void finish_rows(const LinearCrossEntropyArgs& args, const Chunk& chunk, const Context& context) {
  const dim3 grid(static_cast<unsigned>(divide_up(chunk.capacity, kRowsOfBlock)));
  launch(context, finish_rows_kernel, grid, dim3(kThreads), 0, args, chunk);
}

void add_totals(const LinearCrossEntropyArgs& args, const Chunk& chunk, const Context& context) {
  launch(context, add_totals_kernel, dim3(1), dim3(kThreads), 0, args, chunk);
}

}  // namespace foretoken::cuda::loss
