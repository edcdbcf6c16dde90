// The functions that the addon looks up in this library: csrc/core/backend_library.h.
#include "csrc/core/backend_library.h"

#include <cstdio>
#include <cstring>

#include "csrc/cuda/host/cuda_backend.h"

#ifdef FORETOKEN_EMULATED
#include "csrc/simt/options.h"
#endif

namespace foretoken::cuda {

namespace {

constexpr int kLowestCapability = 80;

void say(char* text, size_t size, const std::string& sentence) { std::snprintf(text, size, "%s", sentence.c_str()); }

std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

// Explains in a sentence why there is no device.
std::string reason_of(cudaError_t code) {
  int driver = 0, runtime = 0;
  switch (code) {
    case cudaErrorNoDevice: return "the NVIDIA driver sees no GPU";
    case cudaErrorInsufficientDriver:
      if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0)
        return "there is no NVIDIA driver on this system";
      discard(cudaRuntimeGetVersion(&runtime), "it only reads a constant of the library");
      return "the NVIDIA driver is for CUDA " + version_text(driver) + ", but foretoken needs one for CUDA " +
             version_text(runtime) + " or later";
    default: return std::string("CUDA does not start: ") + cudaGetErrorName(code) + ": " + cudaGetErrorString(code);
  }
}

// Explains why this library has no kernels for the device; empty if it has.
std::string problem_of(const cudaDeviceProp& properties) {
  if (10 * properties.major + properties.minor >= kLowestCapability) return "";
  return std::string(properties.name) + " has compute capability " + std::to_string(properties.major) + "." +
         std::to_string(properties.minor) + ", but foretoken needs 8.0 or later";
}

// Takes the options of the emulator; a GPU has none. Returns a message if an option is invalid.
std::string take_options(const char* options) {
#ifdef FORETOKEN_EMULATED
  try {
    simt::configure(simt::parse_options(options));
    return "";
  } catch (const std::exception& error) {
    return error.what();
  }
#else
  return *options == '\0' ? "" : std::string("a CUDA device takes no options, but was given ") + options;
#endif
}

// The number of devices; if 0, sets the reason.
int device_count(std::string* reason) {
  int count = 0;
  const cudaError_t code = cudaGetDeviceCount(&count);
  if (code == cudaSuccess && count > 0) return count;
  discard(code, "the reason reports it");
  *reason = reason_of(code == cudaSuccess ? cudaErrorNoDevice : code);
  return 0;
}

std::unique_ptr<CudaBackend> open(int index, const char* options, int64_t* memory_bytes, std::string* reason) {
  try {
    if (!(*reason = take_options(options)).empty() || device_count(reason) == 0) return nullptr;
    cudaDeviceProp properties;
    check(cudaGetDeviceProperties(&properties, index), "cudaGetDeviceProperties");
    if (!(*reason = problem_of(properties)).empty()) return nullptr;
    auto backend = std::make_unique<CudaBackend>(index);
    *memory_bytes = backend->memory_size();
    return backend;
  } catch (const CudaFailure& failure) {
    *reason = std::string("device ") + std::to_string(index) + " does not open: " + failure.what() + " failed with " +
              cudaGetErrorName(failure.code) + ": " + cudaGetErrorString(failure.code);
  } catch (const std::exception& error) {
    *reason = error.what();
  }
  return nullptr;
}

}  // namespace

}  // namespace foretoken::cuda

#define FORETOKEN_EXPORT extern "C" __attribute__((visibility("default")))

FORETOKEN_EXPORT uint32_t foretoken_backend_abi_version() { return foretoken::kBackendAbiVersion; }

FORETOKEN_EXPORT int foretoken_backend_device_count(char* reason, size_t size) {
  foretoken::cuda::take_options("");  // drops the options of the device that was opened last
  std::string text;
  const int count = foretoken::cuda::device_count(&text);
  if (count == 0) foretoken::cuda::say(reason, size, text);
  return count;
}

FORETOKEN_EXPORT void foretoken_backend_device_name(int index, char* name, size_t size) {
  cudaDeviceProp properties;
  if (cudaGetDeviceProperties(&properties, index) != cudaSuccess) return foretoken::cuda::say(name, size, "?");
  const std::string problem = foretoken::cuda::problem_of(properties);
  foretoken::cuda::say(name, size, problem.empty() ? properties.name : problem);
}

FORETOKEN_EXPORT foretoken::Backend* foretoken_backend_open(int index, const char* options, int64_t* memory_bytes,
                                                            char* reason, size_t size) {
  std::string text;
  std::unique_ptr<foretoken::Backend> backend = foretoken::cuda::open(index, options, memory_bytes, &text);
  if (!backend) foretoken::cuda::say(reason, size, text);
  return backend.release();
}
