// Drawing a token from logits: one definition for plain decoding and for verification, whether the logits are at hand
// or appear tile by tile.
#pragma once

#include "csrc/cpu/philox.h"

namespace foretoken::cpu::FORETOKEN_ISA {

// The best entry so far. Entries that are NaN never win; where nothing wins, token 0 is drawn.
struct Best {
  float value = -__builtin_inff();
  int32_t id = 0;
  bool found = false;

  // `other` comes from higher ids.
  void take(const Best& other) {
    if (other.found && (!found || other.value > value)) *this = other;
  }
};

// The largest of values[0 … count-1], which are those of ids first, first + 1, …; lowest id on ties.
inline Best argmax(const float* values, int64_t count, int64_t first) {
  Vec best = broadcast(-__builtin_inff());
  IVec ids = broadcast_int(-1);
  for (int64_t i = 0; i < count; i += kLanes) {
    const int lanes = count - i < kLanes ? static_cast<int>(count - i) : kLanes;
    const Vec v = load_n(values + i, lanes);
    const IVec id = iota() + static_cast<int32_t>(first + i);
    // The first entry of a lane is taken even when it is -inf.
    const IVec better = ((v > best) | ((ids < 0) & (v == best))) & (iota() < lanes);
    best = better ? v : best;
    ids = better ? id : ids;
  }
  Best result;
  for (int lane = 0; lane < kLanes; ++lane) {
    if (ids[lane] < 0) continue;
    const bool better = !result.found || best[lane] > result.value;
    if (better || (best[lane] == result.value && ids[lane] < result.id)) result = {best[lane], ids[lane], true};
  }
  return result;
}

// The largest of logit / temperature + noise for ids first …; `first` is a multiple of kNoiseBlock. Overwrites logits.
inline Best gumbel_argmax(float* logits, int64_t count, int64_t first, float temperature, uint64_t seed,
                          int32_t position) {
  float noise[kNoiseBlock];
  for (int64_t i = 0; i < count; i += kNoiseBlock) {
    gumbel_noise(seed, position, first + i, noise);
    const int64_t end = count - i < kNoiseBlock ? count - i : kNoiseBlock;
    for (int64_t j = 0; j < end; j += kLanes) {
      const int lanes = end - j < kLanes ? static_cast<int>(end - j) : kLanes;
      store_n(logits + i + j, load_n(logits + i + j, lanes) / temperature + load(noise + j), lanes);
    }
  }
  return argmax(logits, count, first);
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
