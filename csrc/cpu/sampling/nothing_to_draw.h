// Reports rows from which no token can be drawn.
#pragma once

#include "csrc/cpu/context.h"

namespace foretoken::cpu {

// Reports nothing_to_draw() of csrc/core/sampling.h to the stream.
void report_nothing_to_draw(const Context& context, const char* op, int64_t row, int64_t position);

}  // namespace foretoken::cpu
