// What stands between logits and the draw: bias, penalties, temperature, top-k, top-p, min-p, in this order.
#pragma once

#include "csrc/core/ops.h"
#include "csrc/cpu/draw.h"

namespace foretoken::cpu::FORETOKEN_ISA {

// The text before a draw: what is committed, and behind it the tokens of a path through the tree.
struct History {
  const int32_t* tokens = nullptr;
  int64_t length = 0;
  int64_t prompt_length = 0;  // how many of `tokens` are prompt
  const int32_t* path = nullptr;
  int64_t path_length = 0;
};

inline bool has_penalties(const SamplingOptions& options) {
  return options.repetition_penalty != 1 || options.frequency_penalty != 0 || options.presence_penalty != 0;
}

// Whether a draw needs all logits of its row: otherwise it is an argmax that can be fused with the unembedding.
inline bool needs_logits(const SamplingOptions& options, const LogitBias& bias) {
  const bool filters = options.temperature > 0 && (options.top_k > 0 || options.top_p < 1 || options.min_p > 0);
  return filters || bias.count > 0 || has_penalties(options);
}

// Repetition: Keskar et al. 2019 (CTRL), over prompt and output; frequency and presence over the output alone.
// counts [vocab] is scratch.
inline void apply_penalties(float* logits, int64_t vocab, const SamplingOptions& options, const History& history,
                            int32_t* counts) {
  for (int64_t v = 0; v < vocab; ++v) counts[v] = -1;  // not seen
  const auto see = [&](int32_t token, bool output) {
    if (token < 0 || token >= vocab) return;
    if (counts[token] < 0) counts[token] = 0;
    counts[token] += output ? 1 : 0;
  };
  for (int64_t i = 0; i < history.length; ++i) see(history.tokens[i], i >= history.prompt_length);
  for (int64_t i = 0; i < history.path_length; ++i) see(history.path[i], true);
  for (int64_t v = 0; v < vocab; ++v) {
    if (counts[v] < 0) continue;
    float& z = logits[v];
    z = z > 0 ? z / options.repetition_penalty : z * options.repetition_penalty;
    z -= options.frequency_penalty * static_cast<float>(counts[v]);
    if (counts[v] > 0) z -= options.presence_penalty;
  }
}

// Floats in their order as integers, and back; -0 and 0 are one.
inline int32_t ordered(float x) {
  int32_t bits;
  __builtin_memcpy(&bits, &x, sizeof bits);
  return bits < 0 ? INT32_MIN - bits : bits;
}

inline float from_ordered(int32_t order) {
  const int32_t bits = order < 0 ? INT32_MIN - order : order;
  float x;
  __builtin_memcpy(&x, &bits, sizeof x);
  return x;
}

// Σ weights[v] over the entries z[v] ≥ threshold, in an order of their number alone; null weights are ones.
inline float weight_above(const float* z, const float* weights, int64_t count, float threshold) {
  Vec sum_of_lanes = Vec{};
  for (int64_t v = 0; v < count; v += kLanes) {
    const int lanes = count - v < kLanes ? static_cast<int>(count - v) : kLanes;
    const IVec counts = (load_n(z + v, lanes) >= threshold) & (iota() < lanes);
    const Vec weight = weights ? load_n(weights + v, lanes) : broadcast(1.0f);
    sum_of_lanes += as_float(as_int(weight) & counts);
  }
  return sum(sum_of_lanes);
}

// Keeps the largest entries whose weights reach `enough`, and of those that equal the smallest kept one only the first
// ids that are needed for that; the others become -inf.
inline void keep_largest(float* z, const float* weights, int64_t count, float enough) {
  // Bisection for the largest threshold that still lets enough through.
  int64_t low = ordered(-__builtin_inff()), high = int64_t{ordered(__builtin_inff())} + 1;
  while (high - low > 1) {
    const int64_t middle = low + (high - low) / 2;
    (weight_above(z, weights, count, from_ordered(static_cast<int32_t>(middle))) >= enough ? low : high) = middle;
  }
  const float threshold = from_ordered(static_cast<int32_t>(low));
  const float next = high > ordered(__builtin_inff()) ? __builtin_nanf("") : from_ordered(static_cast<int32_t>(high));
  float left = enough - weight_above(z, weights, count, next);
  for (int64_t v = 0; v < count; ++v) {
    if (z[v] > threshold) continue;
    if (z[v] == threshold && left > 0) {
      left -= weights ? weights[v] : 1.0f;
    } else {
      z[v] = -__builtin_inff();
    }
  }
}

// z is over the temperature already; weights [vocab] is scratch.
inline void apply_filters(float* z, int64_t vocab, const SamplingOptions& options, float* weights) {
  if (options.top_k > 0 && options.top_k < vocab) {
    keep_largest(z, nullptr, vocab, static_cast<float>(options.top_k));
  }
  const float largest = argmax(z, vocab, 0).value;
  // With all logits -inf, or one of them +inf, there are no probabilities to speak of.
  if (!(abs(broadcast(largest))[0] < __builtin_inff())) return;
  if (options.top_p < 1) {
    for (int64_t v = 0; v < vocab; v += kLanes) {
      const int lanes = vocab - v < kLanes ? static_cast<int>(vocab - v) : kLanes;
      store_n(weights + v, exp(load_n(z + v, lanes) - largest), lanes);
    }
    const float total = weight_above(z, weights, vocab, -__builtin_inff());
    const float enough = total * options.top_p;
    keep_largest(z, weights, vocab, enough > 0x1p-126f ? enough : 0x1p-126f);
  }
  if (options.min_p > 0) {
    const float lowest = largest + log(broadcast(options.min_p))[0];
    for (int64_t v = 0; v < vocab; ++v) {
      if (!(z[v] >= lowest)) z[v] = -__builtin_inff();
    }
  }
}

// One draw. Overwrites the logits; scratch is [vocab].
inline int32_t draw(float* logits, int64_t vocab, int32_t position, const SamplingOptions& options,
                    const LogitBias& bias, const History& history, float* scratch) {
  for (int64_t i = 0; i < bias.count; ++i) {
    const int32_t token = bias.tokens[i];
    if (token >= 0 && token < vocab) logits[token] += bias.values[i];
  }
  if (has_penalties(options)) apply_penalties(logits, vocab, options, history, reinterpret_cast<int32_t*>(scratch));
  if (options.temperature == 0) return argmax(logits, vocab, 0).id;
  const bool filters = options.top_k > 0 || options.top_p < 1 || options.min_p > 0;
  if (!filters) return gumbel_argmax(logits, vocab, 0, options.temperature, options.seed, position).id;
  for (int64_t i = 0; i < vocab; i += kLanes) {
    const int lanes = vocab - i < kLanes ? static_cast<int>(vocab - i) : kLanes;
    store_n(logits + i, load_n(logits + i, lanes) / options.temperature, lanes);
  }
  apply_filters(logits, vocab, options, scratch);
  return gumbel_argmax(logits, vocab, 0, 1.0f, options.seed, position).id;
}

}  // namespace foretoken::cpu::FORETOKEN_ISA
