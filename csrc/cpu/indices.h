// Checks indices that only the device knows, before a kernel reads through them.
#pragma once

#include "csrc/cpu/context.h"

namespace foretoken::cpu::FORETOKEN_ISA {

// Whether all indices are in 0 … limit - 1; reports the first one that is not.
inline bool indices_in_range(const Context& context, const char* op, const char* argument, const int32_t* indices,
                             int64_t count, int64_t limit) {
  for (int64_t i = 0; i < count; ++i) {
    if (indices[i] >= 0 && indices[i] < limit) continue;
    report_index(context, op, argument, i, indices[i], limit);
    return false;
  }
  return true;
}

}  // namespace foretoken::cpu::FORETOKEN_ISA
