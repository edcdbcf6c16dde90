// The argmax at the end of every draw: over a whole row of logits or a tile of it, with or without noise.
#pragma once

#include "csrc/cpu/sampling/gumbel.h"

namespace foretoken::cpu::FORETOKEN_ISA {

// The largest entry so far, lowest id on ties. NaN and -inf never win.
struct Best {
  float value = -__builtin_inff();
  int32_t id = kNoToken;

  // Takes `other` if it is larger; its ids must be higher.
  void take(const Best& other) {
    if (other.value > value) *this = other;
  }
};

// Calls f(i, vector) for the vectors of values[0 … count - 1]; the lanes behind the last value are -inf.
template <typename F>
inline void for_vectors(const float* values, int64_t count, F f) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) f(i, load(values + i));
  const int rest = static_cast<int>(count - i);
  if (rest > 0) f(i, iota() < rest ? load_n(values + i, rest) : broadcast(-__builtin_inff()));
}

// Returns the largest of score(i, vector of logits), for the ids first, first + 1, …
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

// Returns the largest logit / temperature + noise; `noise` holds whole vectors.
inline Best argmax_with_noise(const float* logits, int64_t count, int64_t first, float temperature,
                              const float* noise) {
  return best_of(logits, count, first, [&](int64_t i, Vec z) { return z / temperature + load(noise + i); });
}

}  // namespace foretoken::cpu::FORETOKEN_ISA
