// The largest entries of a row, found in one pass; ties go to the lowest index, and NaN ranks like -inf.
#pragma once

#include "csrc/cpu/sampling/draw.h"
#include "csrc/cpu/sizes.h"

namespace foretoken::cpu::FORETOKEN_ISA {

// The best `most` entries so far, once there are that many as a heap with the worst on top. Entries arrive in index
// order, so a new one ranks behind its equals. `most` must be at least 1.
struct BestEntries {
  float* values;     // [most]
  int32_t* indices;  // [most]
  int64_t most, size = 0;

  BestEntries(float* values, int32_t* indices, int64_t most) : values(values), indices(indices), most(most) {}

  void take(float value, int32_t index) {
    if (size == most) {
      if (value > values[0]) sink(0, value, index);
      return;
    }
    values[size] = value == value ? value : -__builtin_inff();
    indices[size] = index;
    if (++size < most) return;
    for (int64_t i = most / 2; i-- > 0;) sink(i, values[i], indices[i]);
  }

  // Takes x[0 … count - 1], whose indices begin at `first`.
  void take_all(const float* x, int64_t count, int64_t first) {
    constexpr int64_t kBlock = 8 * kLanes;
    int64_t i = 0;
    for (; i < count && size < most; ++i) take(x[i], static_cast<int32_t>(first + i));
    for (; i < count; i += kBlock) {
      const int64_t block = smaller(kBlock, count - i);
      // Skips a block without an entry to take, as most are.
      IVec enters = {};
      for_vectors(x + i, block, [&](int64_t, Vec v) { enters |= v > values[0]; });
      if (!any(enters)) continue;
      for (int64_t j = i; j < i + block; ++j) take(x[j], static_cast<int32_t>(first + j));
    }
  }

  // Sorts into falling order, which ends the search. At least `most` entries must have been taken.
  void sort() {
    while (size > 1) {  // moves the worst entry to the end
      const float value = values[0];
      const int32_t index = indices[0];
      const int64_t last = --size;
      sink(0, values[last], indices[last]);
      values[last] = value;
      indices[last] = index;
    }
  }

 private:
  // Whether entry `a` ranks behind (value, index).
  bool is_worse(int64_t a, float value, int32_t index) const {
    return values[a] < value || (values[a] == value && indices[a] > index);
  }

  // Puts an entry into the hole at `at`, after moving worse entries below the hole up.
  void sink(int64_t at, float value, int32_t index) {
    for (int64_t child; (child = 2 * at + 1) < size; at = child) {
      if (child + 1 < size && is_worse(child + 1, values[child], indices[child])) ++child;
      if (!is_worse(child, value, index)) break;
      values[at] = values[child];
      indices[at] = indices[child];
    }
    values[at] = value;
    indices[at] = index;
  }
};

}  // namespace foretoken::cpu::FORETOKEN_ISA
