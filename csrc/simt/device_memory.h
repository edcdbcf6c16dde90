// The memory of the emulated device, and pinned memory of the host: allocations in one range of addresses with gaps
// between them. They are poisoned when they are made and when they are freed, and freed ones are used again late.
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

// Null if more than `limit` bytes of device memory would be in use, or there is no room.
void* allocate_memory(size_t bytes, MemoryKind kind, size_t limit);
// False if it is no allocation of this kind.
bool free_memory(void* memory, MemoryKind kind);
size_t device_memory_in_use();

// The allocation that holds the address, or null. For several threads, as long as it is not freed meanwhile.
const Allocation* find_allocation(const void* address);
// The last one that begins below the address, or null; for messages.
const Allocation* find_allocation_below(const void* address);
// Whether the address is in the range where allocations are.
bool is_in_device_range(const void* address);

// What checks remember of the byte at an address within an allocation, and of those behind it.
struct GlobalShadow {
  Granule* granules;  // of the whole range
  size_t byte;        // index of the address in it
};
GlobalShadow shadow_of(const void* address);

// Whether bytes of an allocation have been written since it was made. The host's writes to pinned memory are not seen:
// such memory always counts as written.
void mark_written(const void* address, size_t bytes);
bool is_written(const void* address, size_t bytes);

}  // namespace foretoken::simt
