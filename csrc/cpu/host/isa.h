// The instruction-set levels this build has, and which of them this processor can run.
#pragma once

#include <string>
#include <vector>

#include "csrc/cpu/kernel_table.h"

namespace foretoken::cpu {

// Usable levels, best first.
const std::vector<const KernelTable*>& usable_isa_levels();

// "AMD EPYC 9654" or similar.
std::string processor_name();

}  // namespace foretoken::cpu
