// The memory of the emulated device, and pinned memory of the host: allocations in one range of addresses, each on
// pages of its own with one that faults behind it. Fresh memory is poisoned; freed memory is not accessible.
#pragma once

#include <cstddef>
#include <cstdint>

namespace foretoken::simt {

enum class MemoryKind : uint8_t { kDevice, kPinned };

struct Allocation {
  unsigned char* address;
  size_t bytes;
  MemoryKind kind;
};

// Null if `limit` bytes of device memory would be passed.
void* allocate_memory(size_t bytes, MemoryKind kind, size_t limit);
// False if it is no allocation of this kind.
bool free_memory(void* memory, MemoryKind kind);

// The allocation that holds the address, or null.
const Allocation* find_allocation(const void* address);
// Whether all the bytes lie in one.
bool is_allocated(const void* address, size_t bytes);

size_t device_memory_in_use();

}  // namespace foretoken::simt
