#include "csrc/cpu/host/memory_size.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>

namespace foretoken::cpu {

int64_t memory_size() {
  int64_t bytes = static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGE_SIZE);
  for (const char* path : {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}) {
    std::ifstream file(path);
    int64_t limit = 0;  // stays 0 for cgroup v2's "max"
    if (file >> limit && limit > 0) bytes = std::min(bytes, limit);
  }
  return bytes;
}

}  // namespace foretoken::cpu
