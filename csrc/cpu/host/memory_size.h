// The memory of this machine or of the cgroups of this process, whichever is less. The allocator must refuse more than
// that, because the system would grant it and kill the process later.
#pragma once

#include <cstdint>
#include <string>

namespace foretoken::cpu {

struct MemorySize {
  int64_t all;   // bytes
  int64_t free;  // bytes available now; the system's cache of files counts as free
};

// `root` is the folder that contains /proc and /sys.
MemorySize memory_size(const std::string& root = "");

}  // namespace foretoken::cpu
