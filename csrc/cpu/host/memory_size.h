// Bytes of memory of this machine, or of the cgroups that this process is in, whichever has less. Asking for more must
// be an error of ours, since the system would grant it and kill the process later.
#pragma once

#include <cstdint>
#include <string>

namespace foretoken::cpu {

struct MemorySize {
  int64_t all;
  int64_t free;  // what may be taken now; the system's cache of files counts as free
};

// `root` is the folder that /proc and /sys are in.
MemorySize memory_size(const std::string& root = "");

}  // namespace foretoken::cpu
