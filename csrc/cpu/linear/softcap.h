// The softcap of logits.
#pragma once

#include "csrc/cpu/simd.h"

namespace foretoken::cpu::FORETOKEN_ISA {

// z = cap * tanh(z / cap), in place; a cap of 0 changes nothing
inline void apply_softcap(float* logits, int64_t count, float cap) {
  if (cap == 0) return;
  for (int64_t i = 0; i < count; i += kLanes) {
    const int lanes = lanes_of(count - i);
    store_n(logits + i, tanh(load_n(logits + i, lanes) / cap) * cap, lanes);
  }
}

}  // namespace foretoken::cpu::FORETOKEN_ISA
