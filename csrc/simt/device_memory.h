// The memory of the emulated device, and pinned memory of the host: allocations in one range of addresses, with gaps
// between them. Allocations are poisoned when they are made and when they are freed, and freed memory is reused late.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "csrc/simt/shadow.h"

namespace foretoken::simt {

enum class MemoryKind : uint8_t { kDevice, kPinned };

struct Allocation {
  unsigned char* address = nullptr;
  size_t bytes = 0;
  MemoryKind kind = MemoryKind::kDevice;

  bool holds(const void* first, size_t count) const {
    const auto* const begin = static_cast<const unsigned char*>(first);
    return begin >= address && begin + count <= address + bytes;
  }
};

// Returns null if more than `limit` bytes of device memory would be in use, or there is no room.
void* allocate_memory(size_t bytes, MemoryKind kind, size_t limit);
// Returns false if `memory` is no allocation of this kind.
bool free_memory(void* memory, MemoryKind kind);
size_t device_memory_in_use();

// Returns the allocation that holds the address, or null. Several threads may call it while none frees that allocation.
const Allocation* find_allocation(const void* address);
// Describes bytes for messages: "bytes 256 … 259 of an allocation of 256 bytes". Names the allocation that is or was
// there, or the nearest one.
std::string describe_device_memory(const void* address, size_t bytes);
// Whether the address is in the range that holds all allocations.
bool is_in_device_range(const void* address);

// The records of accesses to the byte at an address within an allocation, and to the bytes behind it.
struct GlobalShadow {
  Granule* granules;  // of the whole range
  size_t byte;        // index of the address in it
};
GlobalShadow shadow_of(const void* address);

// Records which bytes of an allocation have been written since it was made. The emulator does not see the host's writes
// to pinned memory, so such memory always counts as written.
void mark_written(const void* address, size_t bytes);
bool is_written(const void* address, size_t bytes);

}  // namespace foretoken::simt
