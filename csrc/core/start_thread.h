// Starts a thread, or throws an Error that says how to free resources if the system cannot start one.
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
    throw make_error(
        ErrorCode::kDeviceUnavailable,
        "the system starts no more threads for this process (%s); use fewer threads, or raise the limit on "
        "threads (ulimit -u, pids.max of the cgroup) or on memory",
        failure.code().message().c_str());
  }
}

}  // namespace foretoken
