#include <chrono>

#include "csrc/simt/ptx.h"

namespace foretoken::simt::ptx {

uint64_t global_timer() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
}

}  // namespace foretoken::simt::ptx
