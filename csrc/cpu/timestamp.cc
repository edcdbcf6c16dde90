// Writes the time at a point of the stream.
#include <time.h>

#include "csrc/cpu/kernels.h"

namespace foretoken::cpu::FORETOKEN_ISA {

void run(const TimestampArgs& args, const Context&) {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  args.out[0] = static_cast<int32_t>(static_cast<uint32_t>(now.tv_sec * 1000000 + now.tv_nsec / 1000));
}

}  // namespace foretoken::cpu::FORETOKEN_ISA
