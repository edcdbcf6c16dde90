// Selection: finds the highest ranks of a list whose weights reach a given sum, digit by digit, from histograms of the
// weights. Weights are integers, so sums are exact and do not depend on the order of the entries.
#pragma once

#include "csrc/cuda/common/rank.cuh"
#include "csrc/cuda/common/reduce.cuh"

namespace foretoken::cuda {

// A digit has kBins values. Each lane adds up one group of bins; a gap of one element between groups makes the lanes
// read from different banks.
constexpr int kDigitBits = 11, kBins = 1 << kDigitBits, kGroupBins = kBins / kWarp;

FORETOKEN_DEVICE int place_of_bin(int bin) { return bin + bin / kGroupBins; }

// The memory that the threads of a block share for a selection.
template <typename Weight>
struct SelectionScratch {
  Weight bins[kBins + kWarp];  // at place_of_bin
  int bin;
  Weight before, inside;  // weight of the higher bins, and of this one
};

// The progress of a selection; every thread of the block holds the same.
template <typename Weight>
struct Selection {
  Weight left;            // the weight still to be reached by ranks whose known bits equal those of `lowest`
  Rank lowest = kNoRank;  // in the end: exactly the ranks from here on are selected
  int open_bits = 64;     // low bits of `lowest` that are not known yet
};

// The first lane at which the running sum over lanes 0, 1, … reaches `enough`, or kWarp; `before` gets the sum of the
// lanes before it.
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

// Finds the bin at which the running sum, from the highest bin down, reaches `enough`; -1 if it never does. Called by
// warp 0.
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

// Calls f(rank_at(i)) for every entry i. The threads of a block share the entries and call f equally often: with
// kNoRank after the last entry. A thread reads several entries before it uses the first, to wait for memory once.
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

// Finds the next digit of `selection.lowest`. rank_at(i) is kNoRank for entries that are not in the list;
// weight_of(rank) must not fall as the rank rises.
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
  if (scratch.bin < 0) return;  // all entries together do not reach the sum
  selection.lowest |= static_cast<Rank>(scratch.bin) << shift;
  selection.left -= scratch.before;
  // If the bin reaches the sum only with its lowest entry, all of it is selected.
  if (selection.left > scratch.inside - weight_of(selection.lowest)) selection.open_bits = 0;
}

template <int kThreads, typename Weight, typename RankAt, typename WeightOf>
FORETOKEN_DEVICE void finish(Selection<Weight>& selection, SelectionScratch<Weight>& scratch, int64_t count,
                             RankAt rank_at, WeightOf weight_of) {
  while (selection.open_bits > 0) narrow<kThreads>(selection, scratch, count, rank_at, weight_of);
}

// Writes the ranks from `lowest` on to `list`, in any order, and returns their number. `size` lies in shared memory.
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
