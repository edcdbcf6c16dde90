// Masks: which tokens a row may draw, one bit each (mask_words of csrc/core/sampling.h).
#pragma once

#include "csrc/core/sampling.h"
#include "csrc/cpu/sizes.h"

namespace foretoken::cpu::FORETOKEN_ISA {

// The words of a row, or null if `mask` is.
inline const uint32_t* mask_of_row(const uint32_t* mask, int64_t row, int64_t vocab) {
  return mask == nullptr ? nullptr : mask + row * mask_words(vocab);
}

// Sets the logits of tokens that must not be drawn to -inf, for the tokens first, first + 1, …; `first` must be a
// multiple of 32. A null mask changes nothing.
inline void apply_mask(float* logits, int64_t first, int64_t count, const uint32_t* mask) {
  if (mask == nullptr) return;
  for (int64_t i = 0; i < count; i += 32) {
    const uint32_t word = mask[(first + i) / 32];
    if (word == ~uint32_t{0}) continue;
    const int64_t bits = smaller(32, count - i);
    for (int64_t bit = 0; bit < bits; ++bit) {
      if ((word >> bit & 1) == 0) logits[i + bit] = -__builtin_inff();
    }
  }
}

}  // namespace foretoken::cpu::FORETOKEN_ISA
