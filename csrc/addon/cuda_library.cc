#include "csrc/addon/cuda_library.h"

#include <dlfcn.h>
#include <unistd.h>

namespace foretoken {

namespace {

constexpr size_t kTextSize = 512;

template <typename F>
F* symbol(void* library, const char* name) {
  return reinterpret_cast<F*>(dlsym(library, name));
}

using AbiVersion = uint32_t();
using DeviceCount = int(char*, size_t);
using DeviceName = void(int, char*, size_t);
using Open = Backend*(int, int64_t*, char*, size_t);

}  // namespace

std::string CudaLibrary::default_path() {
  Dl_info info;
  if (dladdr(reinterpret_cast<void*>(&CudaLibrary::default_path), &info) == 0) return "libforetoken_cuda.so";
  const std::string addon = info.dli_fname;
  return addon.substr(0, addon.rfind('/') + 1) + "libforetoken_cuda.so";
}

CudaLibrary::CudaLibrary(const std::string& path) {
  if (access(path.c_str(), F_OK) != 0) {
    reason_ = "this build of foretoken has no CUDA library (" + path + " does not exist)";
    return;
  }
  // Never unloaded: a backend made by it may outlive this object.
  library_ = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library_ == nullptr) {
    reason_ = std::string("the CUDA library does not load: ") + dlerror();
    return;
  }
  auto* const abi_version = symbol<AbiVersion>(library_, "foretoken_backend_abi_version");
  auto* const device_count = symbol<DeviceCount>(library_, "foretoken_backend_device_count");
  auto* const device_name = symbol<DeviceName>(library_, "foretoken_backend_device_name");
  if (abi_version == nullptr || device_count == nullptr || device_name == nullptr ||
      symbol<Open>(library_, "foretoken_backend_open") == nullptr) {
    reason_ = path + " is not a foretoken CUDA library: it lacks the functions foretoken_backend_*";
    return;
  }
  if (abi_version() != kBackendAbiVersion) {
    reason_ = path + " was built for ABI version " + std::to_string(abi_version()) + ", but this addon needs " +
              std::to_string(kBackendAbiVersion) + "; rebuild both together";
    return;
  }
  char text[kTextSize] = "";
  const int count = device_count(text, sizeof text);
  if (count <= 0) {
    reason_ = text[0] != '\0' ? text : "no CUDA device answers";
    return;
  }
  for (int index = 0; index < count; ++index) {
    text[0] = '\0';
    device_name(index, text, sizeof text);
    devices_.emplace_back(text);
  }
}

std::unique_ptr<Backend> CudaLibrary::open(int index, int64_t* memory_bytes) const {
  if (devices_.empty()) throw make_error(ErrorCode::kDeviceUnavailable, "openCuda: %s", reason_.c_str());
  if (index < 0 || index >= static_cast<int>(devices_.size())) {
    throw make_error(ErrorCode::kInvalidArgument, "openCuda: there is no CUDA device %d; there are %zu, counted from 0",
                     index, devices_.size());
  }
  char text[kTextSize] = "";
  Backend* const backend = symbol<Open>(library_, "foretoken_backend_open")(index, memory_bytes, text, sizeof text);
  if (backend == nullptr) throw make_error(ErrorCode::kDeviceUnavailable, "openCuda: %s", text);
  return std::unique_ptr<Backend>(backend);
}

}  // namespace foretoken
