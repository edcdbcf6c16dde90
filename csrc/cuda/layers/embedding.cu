// Reads rows of a table by token, and adds to the gradient of the table. Rows of one token are added in rising order,
// without atomics on the gradient, so its bits are always the same.
#include "csrc/cuda/common/reduce.cuh"
#include "csrc/cuda/common/rows.cuh"
#include "csrc/cuda/kernels.h"

namespace foretoken::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;

template <typename W, typename T>
struct Lookup {
  Reporter reporter;
  const int32_t* tokens;
  const W* weight;
  T* out;
  int64_t vocab, dim;

  template <int N>
  FORETOKEN_DEVICE void at(int64_t row, int64_t column) const {
    const int64_t token = tokens[row];
    float values[N] = {};
    if (reporter.check(Argument::kTokens, row, token, 0, vocab - 1)) load<N>(weight + token * dim + column, values);
    store<N>(out + row * dim + column, values);
  }
};

using Index = unsigned long long;  // the 64-bit type of CUDA's atomics
constexpr Index kNone = ~Index{0};

// The rows of every token as a linked list: `last` is the row that joined last, before[r] the row that joined before
// row r. They join in any order.
struct RowLists {
  Index *counts, *last;  // [vocab]
  Index* before;         // [rows]
};

RowLists lists_of(const EmbeddingBackwardArgs& args) {
  auto* const memory = static_cast<Index*>(args.workspace.data);
  return {memory, memory + args.vocab, memory + 2 * args.vocab};
}

__global__ void __launch_bounds__(kThreads) clear_lists_kernel(int64_t vocab, RowLists lists) {
  const int64_t token = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (token >= vocab) return;
  lists.counts[token] = 0;
  lists.last[token] = kNone;
}

__global__ void __launch_bounds__(kThreads)
    list_rows_kernel(Reporter reporter, const int32_t* tokens, int64_t rows, int64_t vocab, RowLists lists) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (row >= rows || !reporter.check(Argument::kTokens, row, tokens[row], 0, vocab - 1)) return;
  atomicAdd(&lists.counts[tokens[row]], Index{1});
  lists.before[row] = atomicExch(&lists.last[tokens[row]], static_cast<Index>(row));
}

// Sums a thread's columns over the rows in `queue`, in the order of the queue.
template <bool kVectors, typename T>
struct ColumnSums {
  static constexpr int N = 16 / sizeof(T);
  const T* grad_out;
  int64_t column, dim;
  const Index* queue;
  float sums[N];

  FORETOKEN_DEVICE void add(int count) {
    if (column >= dim) return;
#pragma unroll 4
    for (int i = 0; i < count; ++i) {
      float grad[N];
      load_columns<kVectors>(grad_out + static_cast<int64_t>(queue[i]) * dim, column, dim, grad);
#pragma unroll
      for (int j = 0; j < N; ++j) sums[j] += grad[j];
    }
  }
};

// Adds the rows of a list of at most kWarp in rising order: each lane takes one row and counts the smaller ones.
template <typename Sums>
FORETOKEN_DEVICE void add_list(const RowLists& lists, Index last, int count, Index* queue, Sums& sums) {
  const int lane = threadIdx.x % kWarp;
  Index mine = kNone, row = last;
  for (int i = 0; i < count; ++i, row = lists.before[row]) mine = i == lane ? row : mine;
  int place = 0;
  for (int i = 0; i < count; ++i) place += __shfl_sync(kAllLanes, mine, i) < mine;
  if (lane < count) queue[place] = mine;
  __syncwarp();
  sums.add(count);
}

// The same for a token that occurs in many rows: searches all rows, and adds those in `queue`, which has room for 2 *
// kWarp, whenever it holds at least kWarp.
template <typename Sums>
FORETOKEN_DEVICE void add_token(const int32_t* tokens, int64_t rows, int64_t token, Index* queue, Sums& sums) {
  constexpr int kGroups = 8;  // read at once, to wait for memory once
  const int lane = threadIdx.x % kWarp;
  int queued = 0;
  for (int64_t first = 0; first < rows; first += kGroups * kWarp) {
    unsigned found = 0;  // one bit a group
#pragma unroll
    for (int group = 0; group < kGroups; ++group) {
      const int64_t row = first + group * kWarp + lane;
      found |= (row < rows && tokens[row] == token ? 1u : 0u) << group;
    }
    for (int group = 0; group < kGroups; ++group) {
      const bool mine = found >> group & 1;
      const unsigned all = __ballot_sync(kAllLanes, mine);
      if (mine) queue[queued + __popc(all & ((1u << lane) - 1))] = static_cast<Index>(first + group * kWarp + lane);
      queued += __popc(all);
      const bool last = group == kGroups - 1 && first + kGroups * kWarp >= rows;
      if (queued < kWarp && !last) continue;
      __syncwarp();
      sums.add(queued);
      __syncwarp();
      queued = 0;
    }
  }
}

// A warp adds up some columns of the rows of one token, in rising order: the warp of the row that is the last in the
// token's list. Four blocks a multiprocessor give 64 registers; ptxas would choose fewer, which are too few.
template <bool kVectors, typename T>
__global__ void __launch_bounds__(kThreads, 4)
    add_rows_kernel(const ErrorRecord* record, EmbeddingBackwardArgs args, RowLists lists) {
  if (has_error(record)) return;
  using Sums = ColumnSums<kVectors, T>;
  FORETOKEN_SHARED(Index, queues, [kWarps][2 * kWarp]);
  const int64_t dim = args.dim;
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp;
  if (row >= args.rows) return;
  const int64_t token = args.tokens[row];
  if (lists.last[token] != static_cast<Index>(row)) return;

  const int64_t column = (static_cast<int64_t>(blockIdx.y) * kWarp + threadIdx.x % kWarp) * Sums::N;
  Index* const queue = queues[threadIdx.x / kWarp];
  float* const grad_weight = args.grad_weight + token * dim;
  Sums sums{static_cast<const T*>(args.grad_out), column, dim, queue, {}};
  if (column < dim) load_columns<kVectors>(grad_weight, column, dim, sums.sums);
  const Index count = lists.counts[token];
  if (count <= kWarp) add_list(lists, static_cast<Index>(row), static_cast<int>(count), queue, sums);
  else add_token(args.tokens, args.rows, token, queue, sums);
  if (column < dim) store_columns<kVectors>(grad_weight, column, dim, sums.sums);
}

dim3 blocks_of(int64_t items, int64_t of_block) { return dim3(static_cast<unsigned>(divide_up(items, of_block))); }

}  // namespace

void run(const EmbeddingArgs& args, const Context& context) {
  with_floats(args.weight.dtype, [&](auto weight_type) {
    with_activations(args.dtype, [&](auto type) {
      using W = decltype(weight_type);
      using T = decltype(type);
      const Lookup<W, T> lookup{context.reporter(),        args.tokens, static_cast<const W*>(args.weight.data),
                                static_cast<T*>(args.out), args.vocab,  args.dim};
      constexpr int64_t kWidest = 16 / std::max(sizeof(W), sizeof(T));
      const bool vectors = args.dim % kWidest == 0 && vectors_fit({args.weight.data, args.out}, {});
      for_rows<kWidest>(context, args.rows, args.dim, vectors, lookup);
    });
  });
}

int64_t workspace(const EmbeddingBackwardArgs& args, const Context&) {
  return (2 * args.vocab + args.rows) * static_cast<int64_t>(sizeof(Index));
}

void run(const EmbeddingBackwardArgs& args, const Context& context) {
  const RowLists lists = lists_of(args);
  const dim3 block(kThreads);
  launch(context, clear_lists_kernel, blocks_of(args.vocab, kThreads), block, 0, args.vocab, lists);
  launch(context, list_rows_kernel, blocks_of(args.rows, kThreads), block, 0, context.reporter(), args.tokens,
         args.rows, args.vocab, lists);
  with_activations(args.dtype, [&](auto type) {
    using T = decltype(type);
    const auto launch_add = [&](auto kernel) {
      dim3 grid = blocks_of(args.rows, kWarps);
      grid.y = blocks_of(args.dim, 16 / int64_t{sizeof(T)} * kWarp).x;
      launch(context, kernel, grid, block, 0, context.record, args, lists);
    };
    if (vectors_fit({args.grad_out, args.grad_weight}, {args.dim * int64_t{sizeof(T)}})) {
      launch_add(add_rows_kernel<true, T>);
    } else {
      launch_add(add_rows_kernel<false, T>);
    }
  });
}

}  // namespace foretoken::cuda
