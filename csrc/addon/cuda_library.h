// The CUDA backend lives in a library of its own beside the addon, so that the addon loads where there is no GPU.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "csrc/core/backend.h"

namespace foretoken {

// Changes whenever csrc/core/ops.h or csrc/core/backend.h do; both sides must have been built with the same.
constexpr uint32_t kBackendAbiVersion = 1;

// What the library exports, with C linkage:
//   uint32_t foretoken_backend_abi_version(void);
//   int foretoken_backend_device_count(char* reason, size_t size);    0 with the reason when there is none
//   void foretoken_backend_device_name(int index, char* name, size_t size);
//   Backend* foretoken_backend_open(int index, int64_t* memory_bytes, char* reason, size_t size);
//                                                                     null with the reason
class CudaLibrary {
 public:
  // Never throws: what is wrong is in reason(), as a sentence.
  explicit CudaLibrary(const std::string& path);

  // libforetoken_cuda.so in the folder of the addon.
  static std::string default_path();

  const std::vector<std::string>& devices() const { return devices_; }
  const std::string& reason() const { return reason_; }

  // Throws kDeviceUnavailable with the reason, or kInvalidArgument for a device that does not exist.
  std::unique_ptr<Backend> open(int index, int64_t* memory_bytes) const;

 private:
  void* library_ = nullptr;
  std::vector<std::string> devices_;
  std::string reason_;
};

}  // namespace foretoken
