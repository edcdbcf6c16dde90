#include "csrc/simt/device_memory.h"

#include <sys/mman.h>

#include <cstring>
#include <map>
#include <mutex>
#include <new>

namespace foretoken::simt {

namespace {

constexpr size_t kPage = 4096;
constexpr size_t kRange = size_t{64} << 30;
constexpr int kPoison = 0xff;

struct Memory {
  std::mutex mutex;
  unsigned char* base = nullptr;
  size_t next = 0;  // where to look for room first: what was freed shall not be used again soon
  size_t in_use = 0;
  std::map<const unsigned char*, Allocation> allocations;  // by address
};

Memory& memory() {
  static auto* const the_memory = new Memory;
  return *the_memory;
}

size_t span_of(size_t bytes) { return (bytes + kPage - 1) / kPage * kPage + kPage; }

unsigned char* reserve_range() {
  void* const range = mmap(nullptr, kRange, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (range == MAP_FAILED) throw std::bad_alloc();
  return static_cast<unsigned char*>(range);
}

// Room for `span` bytes at or after `next`, then from the beginning; null if there is none.
unsigned char* find_room(const Memory& memory, size_t span) {
  for (const size_t start : {memory.next, size_t{0}}) {
    unsigned char* candidate = memory.base + start;
    auto above = memory.allocations.lower_bound(candidate);
    if (above != memory.allocations.begin()) {
      const Allocation& below = std::prev(above)->second;
      if (below.address + span_of(below.bytes) > candidate) candidate = below.address + span_of(below.bytes);
    }
    for (; above != memory.allocations.end() && candidate + span > above->first; ++above) {
      candidate = above->second.address + span_of(above->second.bytes);
    }
    if (candidate + span <= memory.base + kRange) return candidate;
  }
  return nullptr;
}

}  // namespace

void* allocate_memory(size_t bytes, MemoryKind kind, size_t limit) {
  Memory& all = memory();
  const std::lock_guard lock(all.mutex);
  if (!all.base) all.base = reserve_range();
  if (kind == MemoryKind::kDevice && (bytes > limit || all.in_use > limit - bytes)) return nullptr;
  const size_t span = span_of(bytes);
  unsigned char* const address = span < kRange ? find_room(all, span) : nullptr;
  if (!address || mprotect(address, span - kPage, PROT_READ | PROT_WRITE) != 0) return nullptr;
  std::memset(address, kPoison, span - kPage);
  all.allocations[address] = {address, bytes, kind};
  all.next = static_cast<size_t>(address + span - all.base);
  if (kind == MemoryKind::kDevice) all.in_use += bytes;
  return address;
}

bool free_memory(void* address, MemoryKind kind) {
  Memory& all = memory();
  const std::lock_guard lock(all.mutex);
  const auto found = all.allocations.find(static_cast<unsigned char*>(address));
  if (found == all.allocations.end() || found->second.kind != kind) return false;
  const size_t span = span_of(found->second.bytes);
  mmap(address, span, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
  if (kind == MemoryKind::kDevice) all.in_use -= found->second.bytes;
  all.allocations.erase(found);
  return true;
}

const Allocation* find_allocation(const void* address) {
  Memory& all = memory();
  const std::lock_guard lock(all.mutex);
  const auto* const wanted = static_cast<const unsigned char*>(address);
  const auto above = all.allocations.upper_bound(wanted);
  if (above == all.allocations.begin()) return nullptr;
  const Allocation& below = std::prev(above)->second;
  return wanted < below.address + below.bytes ? &below : nullptr;
}

bool is_allocated(const void* address, size_t bytes) {
  const Allocation* const allocation = find_allocation(address);
  return allocation && static_cast<const unsigned char*>(address) + bytes <= allocation->address + allocation->bytes;
}

size_t device_memory_in_use() {
  Memory& all = memory();
  const std::lock_guard lock(all.mutex);
  return all.in_use;
}

}  // namespace foretoken::simt
