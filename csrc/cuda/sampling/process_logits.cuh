// A draw from a whole row of logits with every option, as csrc/core/sampling.h defines it, by one block.
//
// Every filter keeps the tokens from some rank on, so processed logits never exist in memory. Two passes over the
// vocabulary gather the tokens that may remain in a list, which is short for all but the flattest rows; then the
// filters raise the lowest rank that is kept.
#pragma once

#include <type_traits>

#include "csrc/cuda/context.h"
#include "csrc/cuda/sampling/gumbel.cuh"
#include "csrc/cuda/sampling/select.cuh"

namespace foretoken::cuda {

constexpr float kInfinity = __builtin_inff();

// The text before a draw, as penalties use it: `seen` holds 0 for a token that has not occurred, otherwise one more
// than the number of times that the token occurs in the output.
FORETOKEN_DEVICE void add_to_output(int32_t* seen, int32_t token) {
  seen[token] = seen[token] == 0 ? 2 : seen[token] + 1;
}

// A row of logits; processes each logit as it is read.
struct LogitRow {
  const float* logits;   // [vocab]
  const uint32_t* mask;  // [mask_words(vocab)] or null
  const float* bias;     // [vocab] or null
  const int32_t* seen;   // [vocab] or null: the text before
  int64_t vocab;
  float softcap;
  SamplingOptions options;

  FORETOKEN_DEVICE float penalised(float z, int32_t seen_count) const {
    if (seen_count == 0) return z;
    z = z > 0 ? __fdiv_rn(z, options.repetition_penalty) : __fmul_rn(z, options.repetition_penalty);
    const int32_t count = seen_count - 1;
    z = __fsub_rn(z, __fmul_rn(options.frequency_penalty, static_cast<float>(count)));
    return count > 0 ? __fsub_rn(z, options.presence_penalty) : z;
  }

  // Softcap, mask, bias, penalties and temperature.
  FORETOKEN_DEVICE float at(int64_t token) const {
    if (mask != nullptr && !may_draw(mask, token)) return -kInfinity;
    float z = softcapped(logits[token], softcap);
    if (bias != nullptr) z = __fadd_rn(z, bias[token]);
    if (seen != nullptr) z = penalised(z, seen[token]);
    return options.temperature > 0 ? __fdiv_rn(z, options.temperature) : z;
  }
  FORETOKEN_DEVICE Rank operator()(int64_t token) const { return draw_rank(at(token), token); }
};

// The memory that the threads of a block share for draws.
template <int kThreads>
struct DrawScratch {
  SelectionScratch<uint32_t> counts;
  SelectionScratch<unsigned long long> weights;
  Rank ranks[kThreads / kWarp];
  unsigned long long sums[kThreads / kWarp];
  unsigned list_size;
};

// Clears `seen` and counts a text, whose first `prompt_length` tokens are prompt and the others output. Called by one
// block.
template <int kThreads>
FORETOKEN_DEVICE void count_history(int32_t* seen, int64_t vocab, const int32_t* tokens, int64_t length,
                                    int64_t prompt_length, const Reporter& reporter) {
  for (int64_t v = threadIdx.x; v < vocab; v += kThreads) seen[v] = 0;
  __syncthreads();
  for (int64_t i = threadIdx.x; i < length; i += kThreads) {
    if (reporter.check(Argument::kHistory, i, tokens[i], 0, vocab - 1)) atomicExch(&seen[tokens[i]], 1);
  }
  __syncthreads();
  for (int64_t i = threadIdx.x; i < length; i += kThreads) {
    const bool is_token = tokens[i] >= 0 && tokens[i] < vocab;
    if (i >= prompt_length && is_token) atomicAdd(&seen[tokens[i]], 1);
  }
  __syncthreads();
}

// Clears `bias` and adds the values of a logit bias to it. In any order, because a token stands in a bias once. Called
// by one block.
template <int kThreads>
FORETOKEN_DEVICE void spread_bias(float* bias, int64_t vocab, const LogitBias& given, const Reporter& reporter) {
  for (int64_t v = threadIdx.x; v < vocab; v += kThreads) bias[v] = 0;
  __syncthreads();
  for (int64_t i = threadIdx.x; i < given.count; i += kThreads) {
    const int32_t token = given.tokens[i];
    if (reporter.check(Argument::kLogitBias, i, token, 0, vocab - 1)) atomicAdd(&bias[token], given.values[i]);
  }
  __syncthreads();
}

// Probabilities up to a common factor, as integers, whose sums are the same in every order. The sum over a whole
// vocabulary stays below 2^62.
struct Weights {
  float largest, scale;

  FORETOKEN_DEVICE Weights(float largest, int64_t vocab) : largest(largest) {
    // Not a member initializer: nvcc passes those to the host's compiler too, which does not know __clzll.
    scale = static_cast<float>(1ull << (__clzll(vocab) - 2));
  }

  FORETOKEN_DEVICE unsigned long long operator()(Rank rank) const {
    const float weight = exp(__fsub_rn(value_of(rank), largest));
    return weight > 0 ? static_cast<unsigned long long>(__fmul_rn(weight, scale)) : 0;
  }
};

template <int kThreads>
class Draw {
 public:
  // `list` has room for the rank of every token.
  FORETOKEN_DEVICE Draw(const LogitRow& row, int32_t position, DrawScratch<kThreads>& scratch, Rank* list)
      : row_(row), options_(row.options), position_(position), scratch_(scratch), list_(list) {}

  // The drawn token, in every thread; kNoToken if nothing can be drawn.
  FORETOKEN_DEVICE int32_t operator()() {
    const bool is_greedy = options_.temperature == 0;
    if (!is_greedy && !keeps_top_k() && options_.top_p == 1 && options_.min_p == 0) {
      return index_of(best_of_row_with_noise());
    }
    Rank best;
    if (is_greedy || !keeps_top_k()) {
      best = best_of_row();
      if (is_greedy || !has_probabilities(best)) return index_of(best);
      list_likely(value_of(best));
    } else {
      list_top_k();
      best = best_of_list([](Rank rank) { return rank; });
      if (!has_probabilities(best)) return index_of(best);
    }
    if (options_.top_p < 1) keep_top_p(value_of(best));
    if (options_.min_p > 0) keep_min_p(value_of(best));
    return index_of(best_of_list([&](Rank rank) {
      const int32_t token = index_of(rank);
      const PhiloxWords words = noise_words(options_.seed, position_, token / kNoiseGroup);
      return rank_of(noisy(value_of(rank), word_of(words, token % kNoiseGroup)), token);
    }));
  }

 private:
  FORETOKEN_DEVICE bool keeps_top_k() const { return options_.top_k > 0 && options_.top_k < row_.vocab; }

  // Whether the row has probabilities to filter; `best` is its likeliest token.
  static FORETOKEN_DEVICE bool has_probabilities(Rank best) { return best != kNoRank && value_of(best) < kInfinity; }

  FORETOKEN_DEVICE Rank best_of_block(Rank best) {
    return reduce_block<kThreads>(best, Max(), kNoRank, scratch_.ranks);
  }

  FORETOKEN_DEVICE Rank best_of_row() {
    Rank best = kNoRank;
    for_ranks<kThreads>(row_.vocab, row_, [&](Rank rank) { best = Max()(best, rank); });
    return best_of_block(best);
  }

  FORETOKEN_DEVICE Rank best_of_row_with_noise() {
    Rank best = kNoRank;
    for (int64_t group = threadIdx.x; group * kNoiseGroup < row_.vocab; group += kThreads) {
      const PhiloxWords words = noise_words(options_.seed, position_, group);
#pragma unroll
      for (int i = 0; i < kNoiseGroup; ++i) {
        const int64_t token = group * kNoiseGroup + i;
        if (token < row_.vocab) best = Max()(best, draw_rank(noisy(row_.at(token), words.words[i]), token));
      }
    }
    return best_of_block(best);
  }

  // Entry i of the list, or kNoRank if a filter has dropped it.
  FORETOKEN_DEVICE Rank kept(int64_t i) const { return list_[i] >= lowest_ ? list_[i] : kNoRank; }

  // The highest score(rank) of the kept entries.
  template <typename Score>
  FORETOKEN_DEVICE Rank best_of_list(Score score) {
    Rank best = kNoRank;
    for_ranks<kThreads>(
        size_, [&](int64_t i) { return kept(i); },
        [&](Rank rank) {
          if (rank != kNoRank) best = Max()(best, score(rank));
        });
    return best_of_block(best);
  }

  // Lists the k likeliest tokens, perhaps with others, and keeps only the k.
  FORETOKEN_DEVICE void list_top_k() {
    const auto one = [](Rank) { return 1u; };
    Selection<uint32_t> selection = {static_cast<uint32_t>(options_.top_k)};
    narrow<kThreads>(selection, scratch_.counts, row_.vocab, row_, one);
    size_ = gather<kThreads>(row_.vocab, row_, selection.lowest, list_, &scratch_.list_size);
    finish<kThreads>(
        selection, scratch_.counts, size_, [&](int64_t i) { return list_[i]; }, one);
    lowest_ = selection.lowest;
  }

  // Lists the tokens that top-p and min-p may keep.
  FORETOKEN_DEVICE void list_likely(float largest) {
    // Tokens with a probability below (1 - p) / vocab add up to less than 1 - p, so the others reach p without them.
    // The - 1 leaves room for rounding.
    const float share = options_.top_p < 1 ? (1 - options_.top_p) / static_cast<float>(row_.vocab) : options_.min_p;
    const float least = largest + log(share) - 1;
    const Weights weight_of(largest, row_.vocab);
    unsigned long long weight = 0;
    const auto weighed = [&](int64_t token) {
      const Rank rank = row_(token);
      weight += weight_of(rank);
      return rank;
    };
    size_ = gather<kThreads>(row_.vocab, weighed, lowest_rank(least), list_, &scratch_.list_size);
    weight_ = sum_of_block(weight);
  }

  FORETOKEN_DEVICE unsigned long long sum_of_block(unsigned long long sum) {
    return reduce_block<kThreads>(sum, Sum(), 0ull, scratch_.sums);
  }

  FORETOKEN_DEVICE void keep_top_p(float largest) {
    const Weights weight_of(largest, row_.vocab);
    const auto kept_at = [&](int64_t i) { return kept(i); };
    if (keeps_top_k()) {
      unsigned long long weight = 0;
      for_ranks<kThreads>(size_, kept_at, [&](Rank rank) { weight += weight_of(rank); });
      weight_ = sum_of_block(weight);
    }
    const double enough = ceil(static_cast<double>(weight_) * static_cast<double>(options_.top_p));
    Selection<unsigned long long> selection = {enough > 1 ? static_cast<unsigned long long>(enough) : 1};
    finish<kThreads>(selection, scratch_.weights, size_, kept_at, weight_of);
    lowest_ = Max()(lowest_, selection.lowest);
  }

  FORETOKEN_DEVICE void keep_min_p(float largest) {
    lowest_ = Max()(lowest_, lowest_rank(largest + log(options_.min_p)));
  }

  const LogitRow& row_;
  const SamplingOptions& options_;
  const int32_t position_;
  DrawScratch<kThreads>& scratch_;
  Rank* const list_;
  int64_t size_ = 0;               // of the list
  Rank lowest_ = kNoRank;          // kept entries have this rank or a higher one
  unsigned long long weight_ = 0;  // the total of which top-p takes a share
};

// The needs of some draws.
struct DrawNeeds {
  bool bias, penalties, filters;
};

// Scratch of `blocks` blocks that each draw from one row after the other.
struct DrawMemory {
  // `texts`: the number of texts, each with a bias, that are drawn for at the same time.
  DrawMemory(const Workspace& workspace, const DrawNeeds& needs, int64_t vocab, int64_t blocks, int64_t texts);

  float* bias;    // [texts, vocab] or null: spread_bias
  int32_t* seen;  // [texts, vocab] or null: count_history
  Rank* lists;    // [blocks, vocab] or null
  int64_t bytes;
};

inline DrawMemory::DrawMemory(const Workspace& workspace, const DrawNeeds& needs, int64_t vocab, int64_t blocks,
                              int64_t texts) {
  constexpr int64_t kAlignment = 16;
  char* next = static_cast<char*>(workspace.data);
  const auto take = [&](bool is_needed, int64_t bytes) {
    char* const memory = next;
    if (!is_needed) return static_cast<char*>(nullptr);
    next += round_up(bytes, kAlignment);
    return memory;
  };
  const auto size = [&](int64_t rows, size_t element) { return rows * vocab * static_cast<int64_t>(element); };
  bias = reinterpret_cast<float*>(take(needs.bias, size(texts, sizeof(float))));
  seen = reinterpret_cast<int32_t*>(take(needs.penalties, size(texts, sizeof(int32_t))));
  lists = reinterpret_cast<Rank*>(take(needs.filters, size(blocks, sizeof(Rank))));
  bytes = next - static_cast<char*>(workspace.data);
}

// Calls f(std::integral_constant<int, threads>) with the number of threads that draw from a row: fewer for a small
// vocabulary.
template <typename F>
void with_draw_threads(int64_t vocab, F&& f) {
  if (vocab <= 4096) f(std::integral_constant<int, 128>());
  else f(std::integral_constant<int, 512>());  // with 1024, walks have too few registers
}

// The number of blocks that draw from `rows` rows: at most as many as run at the same time, because each needs scratch.
inline int64_t draw_blocks(const Context& context, int64_t rows) {
  constexpr int64_t kBlocksEach = 2;  // blocks a multiprocessor
  const int64_t most = kBlocksEach * context.multiprocessors;
  return rows < most ? rows : most;
}

}  // namespace foretoken::cuda
