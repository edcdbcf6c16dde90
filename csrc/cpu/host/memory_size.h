// Bytes of memory this process may use: the machine's, or its cgroup's limit. Asking for more must be an error of
// ours, since the system would grant it and kill the process later.
#pragma once

#include <cstdint>

namespace foretoken::cpu {

int64_t memory_size();

}  // namespace foretoken::cpu
