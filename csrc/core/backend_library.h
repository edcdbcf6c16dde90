// What a backend in a library of its own (libforetoken_cuda.so) exports, with C linkage, and how the addon knows that
// both were built from the same sources.
#pragma once

#include <cstddef>
#include <cstdint>

#include "csrc/core/backend.h"

namespace foretoken {

// Changes whenever csrc/core/ops.h or csrc/core/backend.h do.
constexpr uint32_t kBackendAbiVersion = 5;

// foretoken_backend_abi_version
using BackendAbiVersion = uint32_t();
// foretoken_backend_device_count: 0 with the reason when there is none.
using BackendDeviceCount = int(char* reason, size_t size);
// foretoken_backend_device_name
using BackendDeviceName = void(int index, char* name, size_t size);
// foretoken_backend_open: null with the reason. `options` is "name=value name=value …", what the library takes; the
// memory that the device has goes to *memory_bytes.
using BackendOpen = Backend*(int index, const char* options, int64_t* memory_bytes, char* reason, size_t size);

}  // namespace foretoken
