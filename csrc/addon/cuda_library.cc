#include "csrc/addon/cuda_library.h"

#include <dlfcn.h>
#include <elf.h>
#include <unistd.h>

#include <cstring>
#include <fstream>

#include "csrc/core/backend_library.h"

namespace foretoken {

namespace {

constexpr size_t kTextSize = 512;

template <typename F>
F* symbol(void* library, const char* name) {
  return reinterpret_cast<F*>(dlsym(library, name));
}

std::string path_of(const std::string& name) {
  Dl_info addon;
  if (name.find('/') != std::string::npos || dladdr(reinterpret_cast<void*>(&path_of), &addon) == 0) return name;
  const std::string file = addon.dli_fname;
  return file.substr(0, file.rfind('/') + 1) + name;
}

// Whether a file is shorter than its headers say, as after an interrupted copy: loading it would kill the process
// with a bus error. Checks the table of sections, which linkers write last.
bool is_cut_off(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) return false;  // dlopen reports why
  const auto size = static_cast<uint64_t>(file.tellg());
  Elf64_Ehdr header;
  file.seekg(0);
  if (!file.read(reinterpret_cast<char*>(&header), sizeof header)) return true;
  const bool is_elf = std::memcmp(header.e_ident, ELFMAG, SELFMAG) == 0 && header.e_ident[EI_CLASS] == ELFCLASS64;
  return is_elf && header.e_shoff + uint64_t{header.e_shentsize} * header.e_shnum > size;
}

}  // namespace

CudaLibrary::CudaLibrary(const std::string& name) {
  const std::string path = path_of(name);
  if (access(path.c_str(), F_OK) != 0) {
    reason_ = "this build of foretoken has no CUDA library (" + path +
              " does not exist); in a clone of the repository, `npm run build` builds it";
    return;
  }
  if (is_cut_off(path)) {
    reason_ = path + " is incomplete: it is shorter than its headers say, as after an interrupted copy; " +
              "install foretoken again, or build it with scripts/build.js";
    return;
  }
  // Never unloads the library: a backend from it may outlive this object.
  library_ = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library_ == nullptr) {
    reason_ = std::string("cannot load the CUDA library: ") + dlerror();
    return;
  }
  auto* const abi_version = symbol<BackendAbiVersion>(library_, "foretoken_backend_abi_version");
  auto* const device_count = symbol<BackendDeviceCount>(library_, "foretoken_backend_device_count");
  auto* const device_name = symbol<BackendDeviceName>(library_, "foretoken_backend_device_name");
  if (abi_version == nullptr || device_count == nullptr || device_name == nullptr ||
      symbol<BackendOpen>(library_, "foretoken_backend_open") == nullptr) {
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

std::unique_ptr<Backend> CudaLibrary::open(int index, const std::string& options, int64_t* memory_bytes) const {
  if (devices_.empty()) throw make_error(ErrorCode::kDeviceUnavailable, "openCuda: %s", reason_.c_str());
  if (index < 0 || index >= static_cast<int>(devices_.size())) {
    throw make_error(ErrorCode::kInvalidArgument, "openCuda: there is no CUDA device %d; the index must be in 0 … %zu",
                     index, devices_.size() - 1);
  }
  char text[kTextSize] = "";
  auto* const open = symbol<BackendOpen>(library_, "foretoken_backend_open");
  Backend* const backend = open(index, options.c_str(), memory_bytes, text, sizeof text);
  if (backend == nullptr) throw make_error(ErrorCode::kDeviceUnavailable, "openCuda: %s", text);
  return std::unique_ptr<Backend>(backend);
}

}  // namespace foretoken
