// Measures the rates of this machine on all threads of a pool at once.
#pragma once

#include "csrc/core/backend.h"
#include "csrc/core/thread_pool.h"
#include "csrc/cpu/kernel_table.h"

namespace foretoken::cpu {

MachineRates measure_rates(const KernelTable& kernels, ThreadPool& pool);

}  // namespace foretoken::cpu
