// Runs one launch of a kernel, block after block.
#pragma once

#include <string>

#include "csrc/simt/kernel_launch.h"
#include "csrc/simt/options.h"

namespace foretoken::simt {

struct LaunchShape {
  dim3 grid, block, cluster;
  size_t dynamic_shared_bytes = 0;
};

// Returns a report of what the kernel did wrong, or nothing. Kernels run one at a time, also those of different streams.
std::string run_kernel(const LaunchShape& shape, const KernelCall& call, const Options& options);

}  // namespace foretoken::simt
