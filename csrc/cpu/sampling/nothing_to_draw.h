// How the kernels that draw report a row from which they cannot.
#pragma once

#include "csrc/cpu/context.h"

namespace foretoken::cpu {

// Reports that no token can be drawn for `position` from a row: nothing_to_draw of csrc/core/sampling.h.
void report_nothing_to_draw(const Context& context, const char* op, int64_t row, int64_t position);

}  // namespace foretoken::cpu
