// The instruction-set levels of this build that this processor can run.
#pragma once

#include <string>
#include <vector>

#include "csrc/cpu/kernel_table.h"

namespace foretoken::cpu {

// Usable levels, best first.
const std::vector<const KernelTable*>& usable_isa_levels();

// Returns the processor's name, such as "AMD EPYC 9654".
std::string processor_name();

}  // namespace foretoken::cpu
