// Starts a thread; where the system has no more of them, that is an error which says so.
#pragma once

#include <system_error>
#include <thread>

#include "csrc/core/error.h"

namespace foretoken {

template <typename F>
std::thread start_thread(F&& work) {
  try {
    return std::thread(std::forward<F>(work));
  } catch (const std::system_error& failure) {
    throw make_error(ErrorCode::kDeviceUnavailable,
                     "the system gives this process no more threads (%s); ask for fewer, or raise the limit of threads "
                     "(ulimit -u, pids.max of the cgroup) or of memory",
                     failure.code().message().c_str());
  }
}

}  // namespace foretoken
