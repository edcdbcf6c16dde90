// The functions that a backend in a separate library (libforetoken_cuda.so) exports with C linkage, and the version by
// which the addon checks that both were built from the same sources.
#pragma once

#include <cstddef>
#include <cstdint>

#include "csrc/core/backend.h"

namespace foretoken {

// Raised whenever csrc/core/ops.h or csrc/core/backend.h changes in meaning.
constexpr uint32_t kBackendAbiVersion = 8;

// foretoken_backend_abi_version
using BackendAbiVersion = uint32_t();
// foretoken_backend_device_count: returns 0 and writes the reason if there is no device.
using BackendDeviceCount = int(char* reason, size_t size);
// foretoken_backend_device_name
using BackendDeviceName = void(int index, char* name, size_t size);
// foretoken_backend_open: returns null and writes the reason if it fails. `options` is "name=value name=value …", as
// the library defines them. Writes the size of the device's memory to *memory_bytes.
using BackendOpen = Backend*(int index, const char* options, int64_t* memory_bytes, char* reason, size_t size);

}  // namespace foretoken
