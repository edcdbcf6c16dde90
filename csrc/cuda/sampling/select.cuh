// Selection: the highest ranks of a list until their weights reach a sum, found digit by digit from a histogram of the
// weights. Sums are of integers, so that they are exact, and the same in whatever order entries come.
#pragma once

#include "csrc/cuda/common/rank.cuh"
#include "csrc/cuda/common/reduce.cuh"

namespace foretoken::cuda {

// Values of a digit. A lane adds up a group of them, and each group lies one place further than the one before would
// have it, so that the lanes read from different banks.
constexpr int kDigitBits = 11, kBins = 1 << kDigitBits, kGroupBins = kBins / kWarp;

FORETOKEN_DEVICE int place_of_bin(int bin) { return bin + bin / kGroupBins; }

// What the threads of a block share for it.
template <typename Weight>
struct SelectionScratch {
  Weight bins[kBins + kWarp];  // at place_of_bin
  int bin;
  Weight before, inside;  // weight of the higher bins, and of this one
};

// How far a selection has come; every thread of the block holds the same.
template <typename Weight>
struct Selection {
  Weight left;            // weight that ranks beginning as `lowest` does must still reach
  Rank lowest = kNoRank;  // in the end: exactly the ranks from here on are selected
  int open_bits = 64;     // low bits of `lowest` that are not known yet
};

// Of lane 0, 1, …: the first lane where the running sum reaches `enough`, or kWarp; `before` is the sum of those
// before.
template <typename Weight>
FORETOKEN_DEVICE int first_to_reach(Weight value, Weight enough, Weight* before) {
  const int lane = threadIdx.x % kWarp;
  Weight sum = value;
#pragma unroll
  for (int distance = 1; distance < kWarp; distance *= 2) {
    const Weight lower = __shfl_up_sync(kAllLanes, sum, distance);
    if (lane >= distance) sum += lower;
  }
  const unsigned reached = __ballot_sync(kAllLanes, sum >= enough);
  if (reached == 0) return kWarp;
  const int first = __ffs(static_cast<int>(reached)) - 1;
  *before = __shfl_sync(kAllLanes, sum - value, first);
  return first;
}

// By warp 0: the bin where the running sum, from the highest bin down, reaches `enough`; -1 where it never does.
template <typename Weight>
FORETOKEN_DEVICE void find_bin(SelectionScratch<Weight>& scratch, Weight enough) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const Weight* const own = scratch.bins + place_of_bin((kWarp - 1 - lane) * kGroupBins);
  Weight sum = 0;
  for (int i = 0; i < kGroupBins; ++i) sum += own[i];
  Weight before = 0;
  const int group = kWarp - 1 - first_to_reach(sum, enough, &before);
  if (group < 0) {
    if (lane == 0) scratch.bin = -1;
    return;
  }
  static_assert(kGroupBins == 2 * kWarp);
  const int high = (group + 1) * kGroupBins - 1 - 2 * lane;
  const Weight first = scratch.bins[place_of_bin(high)], second = scratch.bins[place_of_bin(high - 1)];
  Weight before_pair = 0;
  const int pair = first_to_reach(first + second, enough - before, &before_pair);
  if (lane != pair) return;
  before += before_pair;
  const bool is_first = before + first >= enough;
  scratch.bin = is_first ? high : high - 1;
  scratch.before = is_first ? before : before + first;
  scratch.inside = is_first ? first : second;
}

// f(rank) for every entry, `rank_at(i)` being the rank of entry i; the threads of a block share the entries, and call f
// equally often: with kNoRank behind the last one. Several entries are read at a time, because reading takes long.
template <int kThreads, int kAtATime = 4, typename RankAt, typename F>
FORETOKEN_DEVICE void for_ranks(int64_t count, RankAt rank_at, F f) {
  for (int64_t first = 0; first < count; first += kAtATime * kThreads) {
    Rank ranks[kAtATime];
#pragma unroll
    for (int j = 0; j < kAtATime; ++j) {
      const int64_t i = first + j * kThreads + threadIdx.x;
      ranks[j] = i < count ? rank_at(i) : kNoRank;
    }
#pragma unroll
    for (int j = 0; j < kAtATime; ++j) {
      if (first + j * kThreads < count) f(ranks[j]);
    }
  }
}

// Finds the next digit of `selection.lowest`. rank_at(i) is kNoRank for entries that do not take part; weight_of(rank)
// may only rise with the rank.
template <int kThreads, typename Weight, typename RankAt, typename WeightOf>
FORETOKEN_DEVICE void narrow(Selection<Weight>& selection, SelectionScratch<Weight>& scratch, int64_t count,
                             RankAt rank_at, WeightOf weight_of) {
  // 64 = 11 + 11 + 10 + 11 + 11 + 10: value and index have three digits each.
  const int bits = selection.open_bits % 32 == 10 ? 10 : kDigitBits, shift = selection.open_bits - bits;
  const Rank known = selection.open_bits == 64 ? 0 : ~Rank{0} << selection.open_bits, lowest = selection.lowest;
  for (int i = threadIdx.x; i < kBins + kWarp; i += kThreads) scratch.bins[i] = 0;
  __syncthreads();
  for_ranks<kThreads>(count, rank_at, [&](Rank rank) {
    if (rank == kNoRank || ((rank ^ lowest) & known) != 0) return;
    const Weight weight = weight_of(rank);
    const int bin = static_cast<int>(rank >> shift) & ((1 << bits) - 1);
    if (weight != 0) atomicAdd(&scratch.bins[place_of_bin(bin)], weight);
  });
  __syncthreads();
  if (threadIdx.x < kWarp) find_bin(scratch, selection.left);
  __syncthreads();
  selection.open_bits = scratch.bin < 0 ? 0 : shift;
  if (scratch.bin < 0) return;  // all of them are not enough
  selection.lowest |= static_cast<Rank>(scratch.bin) << shift;
  selection.left -= scratch.before;
  // Where the bin would not do without its least entry, all of it is selected.
  if (selection.left > scratch.inside - weight_of(selection.lowest)) selection.open_bits = 0;
}

template <int kThreads, typename Weight, typename RankAt, typename WeightOf>
FORETOKEN_DEVICE void finish(Selection<Weight>& selection, SelectionScratch<Weight>& scratch, int64_t count,
                             RankAt rank_at, WeightOf weight_of) {
  while (selection.open_bits > 0) narrow<kThreads>(selection, scratch, count, rank_at, weight_of);
}

// Writes the ranks from `lowest` on to `list`, in any order, and returns their number; `size` is shared.
template <int kThreads, typename RankAt>
FORETOKEN_DEVICE unsigned gather(int64_t count, RankAt rank_at, Rank lowest, Rank* list, unsigned* size) {
  __syncthreads();
  if (threadIdx.x == 0) *size = 0;
  __syncthreads();
  for_ranks<kThreads>(count, rank_at, [&](Rank rank) {
    const bool keep = rank != kNoRank && rank >= lowest;
    const unsigned lane = threadIdx.x % kWarp, keeping = __ballot_sync(kAllLanes, keep);
    if (keeping == 0) return;
    unsigned first = 0;
    if (lane == 0) first = atomicAdd(size, static_cast<unsigned>(__popc(keeping)));
    first = __shfl_sync(kAllLanes, first, 0);
    if (keep) list[first + __popc(keeping & ((1u << lane) - 1))] = rank;
  });
  __syncthreads();
  return *size;
}

}  // namespace foretoken::cuda
