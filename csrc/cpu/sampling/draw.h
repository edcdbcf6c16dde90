// The argmax that every draw ends in: over a whole row of logits or over a tile of it, with noise or without.
#pragma once

#include "csrc/cpu/sampling/gumbel.h"

namespace foretoken::cpu::FORETOKEN_ISA {

// The largest entry so far, lowest id on ties. NaN and -inf never win.
struct Best {
  float value = -__builtin_inff();
  int32_t id = kNoToken;

  // `other` is of higher ids.
  void take(const Best& other) {
    if (other.value > value) *this = other;
  }
};

// f(i, vector) for the vectors of values[0 … count-1]; behind the last one stands -inf.
template <typename F>
inline void for_vectors(const float* values, int64_t count, F f) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) f(i, load(values + i));
  const int rest = static_cast<int>(count - i);
  if (rest > 0) f(i, iota() < rest ? load_n(values + i, rest) : broadcast(-__builtin_inff()));
}

// The largest of score(i, vector of logits), for the ids first, first + 1, …
template <typename Score>
inline Best best_of(const float* logits, int64_t count, int64_t first, Score score) {
  Vec values = broadcast(-__builtin_inff());
  IVec ids = {}, next = iota() + static_cast<int32_t>(first);
  for_vectors(logits, count, [&](int64_t i, Vec z) {
    const Vec candidates = score(i, z);
    const IVec better = candidates > values;
    values = better ? candidates : values;
    ids = better ? next : ids;
    next += kLanes;
  });
  Best best;
  for (int lane = 0; lane < kLanes; ++lane) {
    const bool wins = values[lane] > best.value || (values[lane] == best.value && ids[lane] < best.id);
    if (wins) best = {values[lane], ids[lane]};
  }
  return best;
}

inline Best argmax(const float* logits, int64_t count, int64_t first) {
  return best_of(logits, count, first, [](int64_t, Vec z) { return z; });
}

// The largest logit / temperature + noise; `noise` holds whole vectors.
inline Best argmax_with_noise(const float* logits, int64_t count, int64_t first, float temperature,
                              const float* noise) {
  return best_of(logits, count, first, [&](int64_t i, Vec z) { return z / temperature + load(noise + i); });
}

// z = cap * tanh(z / cap), in place; a cap of 0 is none
inline void apply_softcap(float* logits, int64_t count, float cap) {
  if (cap == 0) return;
  for (int64_t i = 0; i < count; i += kLanes) {
    const int lanes = count - i < kLanes ? static_cast<int>(count - i) : kLanes;
    store_n(logits + i, tanh(load_n(logits + i, lanes) / cap) * cap, lanes);
  }
}

}  // namespace foretoken::cpu::FORETOKEN_ISA
