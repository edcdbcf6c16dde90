// The CUDA backend lives in a library of its own beside the addon, so that the addon loads where there is no GPU
// (csrc/core/backend_library.h: what the library exports).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "csrc/core/backend.h"

namespace foretoken {

class CudaLibrary {
 public:
  // A name without a slash is that of a file in the folder of the addon. Never throws: what is wrong is in reason(), as
  // a sentence.
  explicit CudaLibrary(const std::string& name);

  const std::vector<std::string>& devices() const { return devices_; }
  const std::string& reason() const { return reason_; }

  // `options` is what the library takes. Throws kDeviceUnavailable with the reason, or kInvalidArgument for a device
  // that does not exist.
  std::unique_ptr<Backend> open(int index, const std::string& options, int64_t* memory_bytes) const;

 private:
  void* library_ = nullptr;
  std::vector<std::string> devices_;
  std::string reason_;
};

}  // namespace foretoken
