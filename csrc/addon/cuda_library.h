// Loads the CUDA backend, a separate library beside the addon, so that the addon loads on machines without a GPU.
// csrc/core/backend_library.h lists the functions of the library.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "csrc/core/backend.h"

namespace foretoken {

class CudaLibrary {
 public:
  // `name` is a path, or without a slash a file in the addon's folder. Never throws: reason() says what is wrong.
  explicit CudaLibrary(const std::string& name);

  const std::vector<std::string>& devices() const { return devices_; }
  const std::string& reason() const { return reason_; }

  // Passes `options` to the library. Throws kDeviceUnavailable with the reason, or kInvalidArgument for a device that
  // does not exist.
  std::unique_ptr<Backend> open(int index, const std::string& options, int64_t* memory_bytes) const;

 private:
  void* library_ = nullptr;
  std::vector<std::string> devices_;
  std::string reason_;
};

}  // namespace foretoken
