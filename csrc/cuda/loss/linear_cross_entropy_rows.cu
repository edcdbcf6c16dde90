// Counts the valid rows of the loss, writes the results of ignored rows, and selects the valid rows chunk by chunk, in
// row order. Packs their hidden states into the chunk, and writes the gradients of these back to their rows.
#include "csrc/cuda/common/numeric.cuh"
#include "csrc/cuda/common/reduce.cuh"
#include "csrc/cuda/common/rows.cuh"
#include "csrc/cuda/loss/linear_cross_entropy.cuh"

namespace foretoken::cuda::loss {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;
constexpr int kWidth = 8;

FORETOKEN_DEVICE bool is_valid(const LinearCrossEntropyArgs& args, int64_t row) {
  const int64_t target = args.targets[row];
  return target != args.options.ignore_index && target >= 0 && target < args.vocab;
}

FORETOKEN_DEVICE void write_ignored_row(const LinearCrossEntropyArgs& args, int64_t row) {
  if (args.nll) args.nll[row] = 0;
  if (args.lse && args.mode != LossMode::kBackward) args.lse[row] = 0;
  if (args.entropy) args.entropy[row] = 0;
  if (args.argmax) args.argmax[row] = -1;
  if (args.rank) args.rank[row] = -1;
}

__global__ void __launch_bounds__(kThreads) clear_sums_kernel(LinearCrossEntropyArgs args, Progress* progress) {
  const int64_t head = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (head < args.heads) {
    args.head_loss[head] = 0;
    args.head_count[head] = 0;
  }
  if (head == 0) {
    *args.total = 0;
    *progress = {};
  }
}

// A block takes kThreads rows of one head.
__global__ void __launch_bounds__(kThreads)
    count_rows_kernel(LinearCrossEntropyArgs args, Progress* progress, int64_t parts_of_head, Reporter reporter) {
  FORETOKEN_SHARED(int32_t, counts, [kWarps]);
  const int64_t rows_of_head = args.rows / args.heads;
  const int64_t head = blockIdx.x / parts_of_head;
  const int64_t begin = head * rows_of_head + blockIdx.x % parts_of_head * kThreads;
  const int64_t end = min(begin + kThreads, (head + 1) * rows_of_head);
  const int64_t row = begin + threadIdx.x;
  const bool valid = row < end && is_valid(args, row);
  if (row < end && !valid) {
    write_ignored_row(args, row);
    const int32_t target = args.targets[row];
    if (target != args.options.ignore_index) reporter.check(Argument::kTargets, row, target, 0, args.vocab - 1);
  }
  const int32_t count = reduce_block<kThreads>(valid ? 1 : 0, Sum(), 0, counts);
  if (threadIdx.x == 0 && count > 0) {
    atomicAdd(&args.head_count[head], count);
    atomicAdd(&progress->valid_rows, static_cast<unsigned long long>(count));
  }

  if (!wants_hidden_gradient(args)) return;
  const int64_t halves = args.dim * static_cast<int64_t>(size_of(args.grad_hidden_dtype) / sizeof(uint16_t));
  for (int64_t other = begin; other < end; ++other) {
    if (is_valid(args, other)) continue;
    uint16_t* const gradient = static_cast<uint16_t*>(args.grad_hidden) + other * halves;
    for (int64_t i = threadIdx.x; i < halves; i += kThreads) gradient[i] = 0;
  }
}

FORETOKEN_DEVICE double weight_of_row(const LinearCrossEntropyArgs& args, const Progress& progress, int64_t row) {
  const int64_t head = row / (args.rows / args.heads);
  double weight = args.coefficients ? static_cast<double>(args.coefficients[row]) : 1;
  if (args.head_weights) weight *= static_cast<double>(args.head_weights[head]);
  if (args.reduction == Reduction::kMean) weight /= static_cast<double>(progress.valid_rows);
  if (args.reduction == Reduction::kMeanPerHead) weight /= static_cast<double>(args.head_count[head]);
  return weight;
}

// Selects the rows of the next chunk: one block goes through the rows until the chunk is full.
__global__ void __launch_bounds__(kThreads) select_rows_kernel(LinearCrossEntropyArgs args, Chunk chunk) {
  FORETOKEN_SHARED(int32_t, counts, [kWarps]);
  FORETOKEN_SHARED(int64_t, next_row, );
  Progress& progress = *chunk.progress;
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  int64_t size = 0, first = progress.next_row;
  if (threadIdx.x == 0) next_row = args.rows;
  __syncthreads();
  for (; first < args.rows && size < chunk.capacity; first += kThreads) {
    const int64_t row = first + threadIdx.x;
    const bool valid = row < args.rows && is_valid(args, row);
    const unsigned valid_lanes = __ballot_sync(kAllLanes, valid);
    if (lane == 0) counts[warp] = __popc(valid_lanes);
    __syncthreads();
    int64_t place = size + __popc(valid_lanes & ((1u << lane) - 1));
    for (int other = 0; other < kWarps; ++other) {
      if (other < warp) place += counts[other];
      size += counts[other];
    }
    if (valid && place < chunk.capacity) {
      chunk.rows[place] = row;
      chunk.targets[place] = args.targets[row];
      chunk.weights[place] = weight_of_row(args, progress, row);
      if (place == chunk.capacity - 1) next_row = row + 1;
    }
    __syncthreads();
  }
  if (threadIdx.x == 0) {
    progress.next_row = next_row;
    progress.size = static_cast<int32_t>(min(size, chunk.capacity));
  }
}

// Packs the hidden states of a chunk, with zeros in the rows after the last. A warp takes a row, a lane kWidth elements
// at a time.
template <bool kVectors, typename From, typename To>
__global__ void __launch_bounds__(kThreads)
    pack_hidden_kernel(const From* hidden, int64_t dim, Chunk chunk, To* packed) {
  const int64_t i = int64_t{blockIdx.x} * kWarps + threadIdx.x / kWarp;
  const int64_t size = chunk.progress->size;
  if (i >= min(end_of_zeros(size), chunk.capacity)) return;
  const From* const from = i < size ? hidden + chunk.rows[i] * dim : nullptr;
  To* const to = packed + i * chunk.hidden_stride;
  for (int64_t j = int64_t{threadIdx.x % kWarp} * kWidth; j < dim; j += kWarp * kWidth) {
    float values[kWidth] = {};
    if (from) load_columns<kVectors>(from, j, dim, values);
    store_columns<kVectors>(to, j, dim, values);
  }
}

// Adds the slices of a row's gradient in order, and writes the sums to the row. A warp takes a row.
template <bool kVectors, typename T>
__global__ void __launch_bounds__(kThreads) scatter_hidden_kernel(Chunk chunk, int64_t dim, T* grad_hidden) {
  const int64_t i = int64_t{blockIdx.x} * kWarps + threadIdx.x / kWarp;
  if (i >= chunk.progress->size) return;
  T* const to = grad_hidden + chunk.rows[i] * dim;
  const float factor = chunk.exponentials.data ? chunk.exponentials.factors[i] : 1.0f;
  for (int64_t j = int64_t{threadIdx.x % kWarp} * kWidth; j < dim; j += kWarp * kWidth) {
    float sums[kWidth] = {};
    for (int64_t slice = 0; slice < chunk.slices.count; ++slice) {
      float values[kWidth];
      load_columns<kVectors>(chunk.grad_hidden + (slice * chunk.capacity + i) * dim, j, dim, values);
#pragma unroll
      for (int k = 0; k < kWidth; ++k) sums[k] += values[k];
    }
#pragma unroll
    for (int k = 0; k < kWidth; ++k) sums[k] *= factor;
    store_columns<kVectors>(to, j, dim, sums);
  }
}

dim3 blocks(int64_t count) { return dim3(static_cast<unsigned>(count)); }

// Calls f(std::bool_constant): whether rows of `dim` elements can be accessed in vectors.
template <typename F>
void with_vectors(const void* rows, int64_t dim, DType dtype, F&& f) {
  const auto bytes = dim * static_cast<int64_t>(size_of(dtype));
  if (dim % kWidth == 0 && vectors_fit({rows}, {bytes})) f(std::true_type{});
  else f(std::false_type{});
}

}  // namespace

void begin_rows(const LinearCrossEntropyArgs& args, const Chunk& chunk, const Context& context) {
  launch(context, clear_sums_kernel, blocks(divide_up(args.heads, kThreads)), dim3(kThreads), 0, args, chunk.progress);
  const int64_t parts_of_head = divide_up(args.rows / args.heads, kThreads);
  launch(context, count_rows_kernel, blocks(args.heads * parts_of_head), dim3(kThreads), 0, args, chunk.progress,
         parts_of_head, context.reporter());
}

void select_rows(const LinearCrossEntropyArgs& args, const Chunk& chunk, const Context& context) {
  launch(context, select_rows_kernel, dim3(1), dim3(kThreads), 0, args, chunk);
}

void pack_hidden(const LinearCrossEntropyArgs& args, const Chunk& chunk, const Context& context) {
  with_floats(args.hidden.dtype, [&](auto stored) {
    with_activations(compute_type(args), [&](auto computed) {
      using From = decltype(stored);
      using To = decltype(computed);
      with_vectors(args.hidden.data, args.dim, args.hidden.dtype, [&](auto vectors) {
        launch(context, pack_hidden_kernel<decltype(vectors)::value, From, To>,
               blocks(divide_up(chunk.capacity, kWarps)), dim3(kThreads), 0, static_cast<const From*>(args.hidden.data),
               args.dim, chunk, static_cast<To*>(chunk.hidden));
      });
    });
  });
}

void scatter_hidden(const LinearCrossEntropyArgs& args, const Chunk& chunk, const Context& context) {
  with_activations(args.grad_hidden_dtype, [&](auto type) {
    using T = decltype(type);
    with_vectors(args.grad_hidden, args.dim, args.grad_hidden_dtype, [&](auto vectors) {
      launch(context, scatter_hidden_kernel<decltype(vectors)::value, T>, blocks(divide_up(chunk.capacity, kWarps)),
             dim3(kThreads), 0, chunk, args.dim, static_cast<T*>(args.grad_hidden));
    });
  });
}

}  // namespace foretoken::cuda::loss
