// The largest entries of each row, in falling order. Of equal entries the lowest index comes first; NaN ranks with
// -inf.
#include <algorithm>

#include "csrc/cuda/kernels.h"
#include "csrc/cuda/sampling/select.cuh"

namespace foretoken::cuda {
namespace {

// For few entries of a long row, the row is cut into parts, which many blocks take; a second kernel ranks the best
// entries of the parts.
constexpr int64_t kPartEntries = 4096, kMostOfParts = 64;
constexpr int kThreads = 256;
// Up to this many ranks are sorted in shared memory, more in the workspace.
constexpr int kSharedRanks = 2048;

struct Scratch {
  SelectionScratch<uint32_t> selection;
  unsigned size;
};

// Writes the k highest of `count` ranks, or all if there are fewer, to `best` in any order. Returns their number.
template <typename RankAt>
FORETOKEN_DEVICE unsigned take_best(int64_t count, RankAt rank_at, int64_t k, Rank* best, Scratch& scratch) {
  Selection<uint32_t> selection = {static_cast<uint32_t>(k)};
  if (count > k) finish<kThreads>(selection, scratch.selection, count, rank_at, [](Rank) { return 1u; });
  return gather<kThreads>(count, rank_at, selection.lowest, best, &scratch.size);
}

// bests[row, part, k]: the k best of each part of each row, padded with kNoRank if the part has fewer entries.
__global__ void __launch_bounds__(kThreads) best_of_parts_kernel(TopKArgs args, int64_t parts, Rank* bests) {
  FORETOKEN_SHARED(Scratch, scratch);
  for (int64_t item = blockIdx.x; item < args.rows * parts; item += gridDim.x) {
    const int64_t row = item / parts, first = item % parts * kPartEntries;
    const int64_t count = min(args.cols - first, kPartEntries);
    const float* const x = args.x + row * args.cols + first;
    Rank* const best = bests + item * args.k;
    const unsigned found = take_best(
        count, [&](int64_t i) { return rank_of(x[i], first + i); }, args.k, best, scratch);
    for (int64_t i = found + threadIdx.x; i < args.k; i += kThreads) best[i] = kNoRank;
  }
}

// Sorts in falling order by Batcher's bitonic network; `size` is a power of 2.
FORETOKEN_DEVICE void sort(Rank* ranks, int64_t size) {
  for (int64_t run = 2; run <= size; run *= 2) {
    for (int64_t distance = run / 2; distance > 0; distance /= 2) {
      __syncthreads();
      for (int64_t pair = threadIdx.x; pair < size / 2; pair += kThreads) {
        const int64_t low = pair / distance * 2 * distance + pair % distance, high = low + distance;
        const Rank a = ranks[low], b = ranks[high];
        const bool falls = (low & run) == 0;
        if ((a < b) == falls) {
          ranks[low] = b;
          ranks[high] = a;
        }
      }
    }
  }
  __syncthreads();
}

struct EntriesOfRow {
  const float* x;
  int64_t cols;
  FORETOKEN_DEVICE Rank operator()(int64_t row, int64_t i) const { return rank_of(x[row * cols + i], i); }
};

struct BestOfParts {
  const Rank* bests;
  int64_t count;  // of each row
  FORETOKEN_DEVICE Rank operator()(int64_t row, int64_t i) const { return bests[row * count + i]; }
};

// Ranks `count` entries of each row and writes the k best. Sorts in `buffers`, with room for `sorted` ranks for each
// block, or in shared memory if `buffers` is null. Four blocks a multiprocessor give 64 registers; ptxas would choose
// fewer, which are too few.
template <typename RankAt>
__global__ void __launch_bounds__(kThreads, 4)
    rank_rows_kernel(TopKArgs args, int64_t count, RankAt rank_at, int64_t sorted, Rank* buffers) {
  FORETOKEN_SHARED(Scratch, scratch);
  FORETOKEN_SHARED(Rank, shared_ranks, [kSharedRanks]);
  Rank* const ranks = buffers == nullptr ? shared_ranks : buffers + blockIdx.x * sorted;
  for (int64_t row = blockIdx.x; row < args.rows; row += gridDim.x) {
    const unsigned found = take_best(
        count, [&](int64_t i) { return rank_at(row, i); }, args.k, ranks, scratch);
    for (int64_t i = found + threadIdx.x; i < sorted; i += kThreads) ranks[i] = kNoRank;
    sort(ranks, sorted);
    for (int64_t i = threadIdx.x; i < args.k; i += kThreads) {
      const int32_t index = index_of(ranks[i]);
      args.indices[row * args.k + i] = index;
      if (args.values == nullptr) continue;
      const float value = args.x[row * args.cols + index];  // not value_of: a rank cannot tell -0 from 0
      args.values[row * args.k + i] = value == value ? value : -__builtin_inff();
    }
  }
}

// The workspace: the best entries of the parts, and the buffers for sorts that do not fit into shared memory.
struct Memory {
  Memory(const TopKArgs& args, const Context& context)
      : parts(args.k <= kMostOfParts ? divide_up(args.cols, kPartEntries) : 1) {
    while (sorted < args.k) sorted *= 2;
    blocks = std::min(args.rows, kBlocksEach * context.multiprocessors);
    const int64_t best_count = parts > 1 ? args.rows * parts * args.k : 0;
    const int64_t sorted_count = sorted > kSharedRanks ? blocks * sorted : 0;
    bytes = (best_count + sorted_count) * static_cast<int64_t>(sizeof(Rank));
    bests = static_cast<Rank*>(args.workspace.data);
    buffers = sorted_count > 0 ? bests + best_count : nullptr;
  }

  static constexpr int64_t kBlocksEach = 8;  // blocks a multiprocessor

  int64_t parts;       // of a row
  int64_t sorted = 1;  // ranks: a power of 2
  int64_t blocks;
  int64_t bytes;
  Rank *bests, *buffers;
};

}  // namespace

int64_t workspace(const TopKArgs& args, const Context& context) { return Memory(args, context).bytes; }

void run(const TopKArgs& args, const Context& context) {
  if (args.k == 0) return;
  const Memory memory(args, context);
  const auto rank_rows = [&](int64_t count, auto rank_at) {
    launch(context, rank_rows_kernel<decltype(rank_at)>, dim3(static_cast<unsigned>(memory.blocks)), dim3(kThreads), 0,
           args, count, rank_at, memory.sorted, memory.buffers);
  };
  if (memory.parts == 1) return rank_rows(args.cols, EntriesOfRow{args.x, args.cols});
  const int64_t part_blocks = std::min(args.rows * memory.parts, int64_t{INT32_MAX});
  launch(context, best_of_parts_kernel, dim3(static_cast<unsigned>(part_blocks)), dim3(kThreads), 0, args, memory.parts,
         memory.bests);
  const int64_t count = memory.parts * args.k;
  rank_rows(count, BestOfParts{memory.bests, count});
}

}  // namespace foretoken::cuda
