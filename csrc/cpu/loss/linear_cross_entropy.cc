// Loss of hidden states against an unembedding, with the gradients, in scratch whose size depends neither on the number
// of rows nor on the number of heads. Processes the valid rows of all heads in chunks; only the logits of one chunk
// exist at a time:
//
//   gather hidden rows -> logits = h W^T + b -> each row: loss, statistics, dz in place of z -> dW += dz^T h, dh = dz W
//
// No bit of a result depends on the chunks or the threads: sums over the vocabulary are cut into pieces at the same
// places for all rows, sums over rows run in row order, and the GEMM has one accumulator for each element and piece.
// kBackward differs from kLossAndGrad only in that it does not write lse. It recomputes each row's denominator from the
// logits, which it needs anyway, and gets the same bits; a saved float32 lse of logits near 1e4 would be accurate to
// three digits.
#include <math.h>

#include "csrc/cpu/kernels.h"
#include "csrc/cpu/linear/gemm.h"
#include "csrc/cpu/linear/pack.h"
#include "csrc/cpu/linear/softcap.h"
#include "csrc/cpu/sizes.h"
#include "csrc/cpu/split.h"

namespace foretoken::cpu::FORETOKEN_ISA {
namespace {

constexpr int64_t kLogitBytes = 48 << 20;
// With this many rows the GEMM takes about fifty times as long as reading and writing dW.
constexpr int64_t kEnoughRows = 1024;
// Number of elements that are added in float32 before their sum is added in float64.
constexpr int64_t kBlock = 1024;

// Distance of rows of logits in floats: whole cache lines, which are whole vectors of every level, and one line more,
// because rows whose distance is a power of two would share cache sets.
int64_t row_floats(int64_t vocab) { return cache_lines<float>(vocab) + 16; }

int64_t rows_of_chunk(const LinearCrossEntropyArgs& args) {
  int64_t rows = args.chunk_rows;
  if (rows <= 0) {
    rows = kLogitBytes / bytes_of<float>(row_floats(args.vocab));
    rows = rows > kEnoughRows ? kEnoughRows : rows < kTileRows ? kTileRows : rows / kTileRows * kTileRows;
  }
  return smaller(rows, args.rows);
}

// The scratch of a chunk.
struct Chunk {
  int64_t capacity, size = 0;  // rows
  int64_t stride;              // of logits
  int64_t* rows;               // [capacity]: rows of the arguments
  double* weights;             // [capacity]: weight of each row's loss in the total
  double* losses;              // [capacity]
  float* hidden;               // [capacity, dim], later its gradient
  float* logits;               // [capacity, stride], later their gradient
  float* gemm;                 // scratch of the GEMM, for all threads
  int64_t bytes;               // of the whole scratch

  Chunk(const LinearCrossEntropyArgs& args, int threads)
      : capacity(rows_of_chunk(args)), stride(row_floats(args.vocab)) {
    char* const begin = static_cast<char*>(args.workspace.data);
    int64_t used = 0;
    const auto take = [&](int64_t size) {
      char* const memory = begin + used;
      used += cache_lines(size);
      return memory;
    };
    const auto floats = [&](int64_t count) { return reinterpret_cast<float*>(take(bytes_of<float>(count))); };
    rows = reinterpret_cast<int64_t*>(take(bytes_of<int64_t>(capacity)));
    weights = reinterpret_cast<double*>(take(bytes_of<double>(capacity)));
    losses = reinterpret_cast<double*>(take(bytes_of<double>(capacity)));
    hidden = floats(capacity * args.dim);
    logits = floats(capacity * stride);
    int64_t most = gemm_scratch(capacity, args.dim, transposed(args.weight, args.dim));
    most = larger(most, larger(gemm_scratch(capacity, args.vocab), gemm_scratch(args.vocab, capacity)));
    gemm = floats(threads * most);
    bytes = used;
  }
};

bool wants_gradients(const LinearCrossEntropyArgs& args) {
  return args.mode != LossMode::kLoss && (args.grad_hidden || args.grad_weight || args.grad_bias);
}

// --- one row ---

struct Largest {
  float value;
  int64_t block;  // start of the first block that contains it
};

Largest find_largest(const float* z, int64_t width) {
  Largest result = {-INFINITY, 0};
  for (int64_t block = 0; block < width; block += kBlock) {
    const int64_t end = smaller(width, block + kBlock);
    Vec top = load(z + block);
    for (int64_t j = block + kLanes; j < end; j += kLanes) top = max(load(z + j), top);
    const float value = largest(top);
    if (value > result.value) result = {value, block};
  }
  return result;
}

// Returns the lowest id of the largest logit, or 0 for a row of NaN.
int64_t argmax_of(const float* z, int64_t vocab, const Largest& top) {
  for (int64_t j = top.block; j < vocab; ++j) {
    if (z[j] == top.value) return j;
  }
  return 0;
}

int32_t rank_of(const float* z, int64_t vocab, int64_t target) {
  const float own = z[target];
  int32_t better = 0;
  for (int64_t j = 0; j < target; ++j) better += z[j] >= own;
  for (int64_t j = target + 1; j < vocab; ++j) better += z[j] > own;
  return better;
}

// Lower bound of t: e^t is zero in float32 below it, and the bound prevents 0 * -inf, which is NaN.
constexpr float kFloor = -200.0f;

// Σ e^t and Σ t e^t over t = z - top of a row.
struct Moments {
  double sum = 0, weighted = 0;
};

Moments moments_of(const float* z, int64_t width, float top) {
  Moments result;
  for (int64_t block = 0; block < width; block += kBlock) {
    const int64_t end = smaller(width, block + kBlock);
    Vec sums = {}, weighted = {};
    for (int64_t j = block; j < end; j += kLanes) {
      const Vec t = max(broadcast(kFloor), load(z + j) - broadcast(top));
      const Vec e = exp(t);
      sums += e;
      weighted = fma(e, t, weighted);
    }
    result.sum += static_cast<double>(sum(sums));
    result.weighted += static_cast<double>(sum(weighted));
  }
  return result;
}

double sum_of_distances(const float* z, int64_t vocab, float top) {
  double result = 0;
  for (int64_t block = 0; block < vocab; block += kBlock) {
    const int64_t end = smaller(vocab, block + kBlock);
    float part = 0;
    for (int64_t j = block; j < end; ++j) part += z[j] - top;
    result += static_cast<double>(part);
  }
  return result;
}

// dz = e^t (slope t + scale) - offset, times the derivative of softcap
template <bool kSoftcap>
void write_gradient(float* z, int64_t width, float top, float scale, float slope, float offset, float cap) {
  for (int64_t j = 0; j < width; j += kLanes) {
    const Vec logit = load(z + j);
    const Vec t = max(broadcast(kFloor), logit - broadcast(top));
    Vec gradient = fma(exp(t), fma(broadcast(slope), t, broadcast(scale)), broadcast(-offset));
    if constexpr (kSoftcap) {
      const Vec ratio = logit / broadcast(cap);
      gradient = gradient * (broadcast(1.0f) - ratio * ratio);
    }
    store(z + j, gradient);
  }
}

// Computes loss and statistics of row `row`, whose raw logits are z, and replaces z by its gradient times `weight` if
// gradients are wanted. Returns the loss.
double process_row(const LinearCrossEntropyArgs& args, int64_t row, double weight, float* z) {
  const LossOptions& options = args.options;
  const int64_t vocab = args.vocab, target = args.targets[row];
  const double smoothing = static_cast<double>(options.label_smoothing);
  const bool softcap = options.softcap > 0;
  apply_softcap(z, vocab, options.softcap);

  // Pads the row with logits that add nothing to any sum, so that every later loop processes whole vectors.
  const int64_t width = round_up(vocab, kLanes);
  for (int64_t j = vocab; j < width; ++j) z[j] = -INFINITY;
  const Largest largest = find_largest(z, width);
  const float top = largest.value;
  if (args.argmax) args.argmax[row] = static_cast<int32_t>(argmax_of(z, vocab, largest));
  if (args.rank) args.rank[row] = rank_of(z, vocab, target);
  const double distances = smoothing != 0 ? sum_of_distances(z, vocab, top) : 0;

  // Sums the others without the target, so that 1 - p(target) is a sum of small numbers and not a difference of large
  // ones.
  const float own = z[target];
  z[target] = -INFINITY;
  const Moments others = moments_of(z, width, top);
  z[target] = own;
  const double own_distance = static_cast<double>(own) - static_cast<double>(top);
  const double own_t = own_distance < kFloor ? kFloor : own_distance;  // keeps NaN
  const double own_weight = ::exp(own_t);
  const double sum = others.sum + own_weight;
  const double log_sum = own_distance == 0 ? ::log1p(others.sum) : ::log(sum);
  const double lse = static_cast<double>(top) + log_sum;
  const double entropy = log_sum - (others.weighted + own_weight * own_t) / sum;
  const double nll = log_sum - own_distance;

  double loss = (1 - smoothing) * nll;
  if (smoothing != 0) loss += smoothing * (log_sum - distances / static_cast<double>(vocab));
  if (options.z_loss != 0) loss += static_cast<double>(options.z_loss) * lse * lse;
  if (options.entropy_weight != 0) loss += static_cast<double>(options.entropy_weight) * entropy;
  if (args.nll) args.nll[row] = static_cast<float>(nll);
  if (args.lse && args.mode != LossMode::kBackward) args.lse[row] = static_cast<float>(lse);
  if (args.entropy) args.entropy[row] = static_cast<float>(entropy);
  if (!wants_gradients(args)) return loss;

  // dloss/dz_j = p_j (1 + 2ζ lse - β (log p_j + H)) - ε/V - (1-ε) [j = target], with log p_j = t_j - log_sum
  const double slope = -static_cast<double>(options.entropy_weight);
  const double extra = 2 * static_cast<double>(options.z_loss) * lse + slope * (entropy - log_sum);
  const double spread = smoothing / static_cast<double>(vocab);
  const float scale = static_cast<float>(weight * (1 + extra) / sum);
  (softcap ? write_gradient<true> : write_gradient<false>)(z, width, top, scale,
                                                           static_cast<float>(weight * slope / sum),
                                                           static_cast<float>(weight * spread), options.softcap);
  double own_gradient = -others.sum / sum + smoothing - spread + own_weight / sum * (extra + slope * own_t);
  if (softcap) {
    const double ratio = static_cast<double>(own) / static_cast<double>(options.softcap);
    own_gradient *= 1 - ratio * ratio;
  }
  z[target] = static_cast<float>(weight * own_gradient);
  return loss;
}

// --- one chunk ---

void gather_hidden(const LinearCrossEntropyArgs& args, const Chunk& chunk, const Context& context) {
  const int64_t dim = args.dim;
  with_type(args.hidden.data, args.hidden.dtype, [&](auto data) {
    for (int64_t i = 0; i < chunk.size; ++i) {
      const auto* from = data + chunk.rows[i] * dim;
      float* to = chunk.hidden + i * dim;
      int64_t j = 0;
      for (; j + kLanes <= dim; j += kLanes) store(to + j, load(from + j));
      const int rest = static_cast<int>(dim - j);
      store_n(to + j, load_n(from + j, rest), rest);
    }
  });
}

void process_rows(const LinearCrossEntropyArgs& args, const Chunk& chunk, const Context& context) {
  const int64_t rows_of_part = 1 + 16 * kBlock / args.vocab;
  parallel(context, divide_up(chunk.size, rows_of_part), [&](int64_t part, int) {
    const int64_t end = smaller(chunk.size, (part + 1) * rows_of_part);
    for (int64_t i = part * rows_of_part; i < end; ++i) {
      chunk.losses[i] = process_row(args, chunk.rows[i], chunk.weights[i], chunk.logits + i * chunk.stride);
    }
  });
}

void process_chunk(const LinearCrossEntropyArgs& args, const Chunk& chunk, const Context& context) {
  const int64_t dim = args.dim, vocab = args.vocab, size = chunk.size;
  gather_hidden(args, chunk, context);
  const Gemm logits = {.m = size,
                       .n = vocab,
                       .k = dim,
                       .a = {chunk.hidden, DType::kFloat32, dim, 1},
                       .b = transposed(args.weight, dim),
                       .c = chunk.logits,
                       .c_stride = chunk.stride,
                       .bias = args.bias};
  multiply(context, logits, chunk.gemm);
  process_rows(args, chunk, context);
  if (!wants_gradients(args)) return;

  if (args.grad_bias) add_column_sums(context, chunk.logits, size, vocab, chunk.stride, args.grad_bias);
  if (args.grad_weight) {
    const Gemm grad_weight = {.m = vocab,
                              .n = dim,
                              .k = size,
                              .a = {chunk.logits, DType::kFloat32, 1, chunk.stride},
                              .b = {chunk.hidden, DType::kFloat32, dim, 1},
                              .c = args.grad_weight,
                              .c_stride = dim,
                              .accumulate = true};
    multiply(context, grad_weight, chunk.gemm);
  }
  if (args.grad_hidden) {
    const Gemm grad_hidden = {.m = size,
                              .n = dim,
                              .k = vocab,
                              .a = {chunk.logits, DType::kFloat32, chunk.stride, 1},
                              .b = as_is(args.weight, dim),
                              .c = chunk.hidden,
                              .c_stride = dim,
                              .pieces = true};
    multiply(context, grad_hidden, chunk.gemm);
    with_type(args.grad_hidden, args.grad_hidden_dtype, [&](auto gradient) {
      for (int64_t i = 0; i < size; ++i) {
        const auto same = [](Vec x) { return x; };
        map_range(0, dim, gradient + chunk.rows[i] * dim, same, chunk.hidden + i * dim);
      }
    });
  }
}

// --- all rows ---

bool is_ignored(const LinearCrossEntropyArgs& args, int64_t row) {
  const int64_t target = args.targets[row];
  return target == args.options.ignore_index || target < 0 || target >= args.vocab;
}

// Writes head_count and returns the number of valid rows of all heads.
int64_t count_rows(const LinearCrossEntropyArgs& args) {
  const int64_t rows_of_head = args.rows / args.heads;
  int64_t all = 0;
  for (int64_t head = 0; head < args.heads; ++head) {
    int32_t count = 0;
    for (int64_t row = head * rows_of_head; row < (head + 1) * rows_of_head; ++row) count += !is_ignored(args, row);
    args.head_count[head] = count;
    all += count;
  }
  return all;
}

double weight_of_row(const LinearCrossEntropyArgs& args, int64_t valid_rows, int64_t row) {
  const int64_t head = row / (args.rows / args.heads);
  double weight = args.coefficients ? static_cast<double>(args.coefficients[row]) : 1;
  if (args.head_weights) weight *= static_cast<double>(args.head_weights[head]);
  if (args.reduction == Reduction::kMean) weight /= static_cast<double>(valid_rows);
  if (args.reduction == Reduction::kMeanPerHead) weight /= static_cast<double>(args.head_count[head]);
  return weight;
}

// Adds the losses in float64, in row order.
class Totals {
 public:
  explicit Totals(const LinearCrossEntropyArgs& args) : args_(args) {
    for (int64_t head = 0; head < args.heads; ++head) args.head_loss[head] = 0;
    *args.total = 0;
  }

  void add(const Chunk& chunk) {
    for (int64_t i = 0; i < chunk.size; ++i) {
      const int64_t head = chunk.rows[i] / (args_.rows / args_.heads);
      if (head != head_) head_loss_ = 0;
      head_ = head;
      head_loss_ += chunk.losses[i];
      args_.head_loss[head] = static_cast<float>(head_loss_);
      total_ += chunk.weights[i] * chunk.losses[i];
    }
    *args_.total = static_cast<float>(total_);
  }

 private:
  const LinearCrossEntropyArgs& args_;
  int64_t head_ = 0;
  double head_loss_ = 0, total_ = 0;
};

void write_ignored_row(const LinearCrossEntropyArgs& args, int64_t row) {
  if (args.mode != LossMode::kLoss && args.grad_hidden) {
    const int64_t row_bytes = args.dim * size_of(args.grad_hidden_dtype);
    __builtin_memset(static_cast<char*>(args.grad_hidden) + row * row_bytes, 0, static_cast<size_t>(row_bytes));
  }
  if (args.nll) args.nll[row] = 0;
  if (args.lse && args.mode != LossMode::kBackward) args.lse[row] = 0;
  if (args.entropy) args.entropy[row] = 0;
  if (args.argmax) args.argmax[row] = -1;
  if (args.rank) args.rank[row] = -1;
}

}  // namespace

int64_t workspace(const LinearCrossEntropyArgs& args, const Context& context) {
  return Chunk(args, context.threads).bytes;
}

void run(const LinearCrossEntropyArgs& args, const Context& context) {
  const int64_t valid_rows = count_rows(args);
  Chunk chunk(args, context.threads);
  Totals totals(args);
  const auto finish_chunk = [&] {
    process_chunk(args, chunk, context);
    totals.add(chunk);
    chunk.size = 0;
  };
  for (int64_t row = 0; row < args.rows; ++row) {
    if (is_ignored(args, row)) {
      write_ignored_row(args, row);
      const int64_t target = args.targets[row];
      if (target != args.options.ignore_index) {
        report_index(context, "linearCrossEntropy", "targets", row, target, args.vocab);
      }
      continue;
    }
    chunk.rows[chunk.size] = row;
    chunk.weights[chunk.size] = weight_of_row(args, valid_rows, row);
    if (++chunk.size == chunk.capacity) finish_chunk();
  }
  if (chunk.size > 0) finish_chunk();
}

}  // namespace foretoken::cpu::FORETOKEN_ISA
