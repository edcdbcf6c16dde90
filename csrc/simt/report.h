// Writes the reports of faults in kernels.
#pragma once

#include <string>

#include "csrc/simt/launch.h"

namespace foretoken::simt {

// "(3, 0, 0)"
std::string triple(const uint3& at);
// "bytes 4 … 7", "byte 4"
std::string byte_range(long first, size_t count);
// "block (0, 0, 0), thread (3, 0, 0)"
std::string name_of(const Thread& thread);
// "__syncthreads at csrc/cuda/softmax.cu:9"
std::string name_of(const Place& place);

std::string describe_failure(const Launch& launch, const std::string& what);
std::string describe_deadlock(const Launch& launch);
// Describes threads that wait for others in loops while no thread makes progress.
std::string describe_livelock(const Launch& launch);

}  // namespace foretoken::simt
