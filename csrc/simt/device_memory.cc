#include "csrc/simt/device_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <new>

#include "csrc/simt/poison.h"
#include "csrc/simt/report.h"
#include "csrc/simt/sanitizer_callbacks.h"

namespace foretoken::simt {

namespace {

constexpr size_t kRange = size_t{32} << 30;
constexpr size_t kUnit = 256;  // allocations begin at multiples of it
constexpr size_t kPage = 4096;
// Allocations of at least this many bytes begin at a page, because clearing drops whole pages.
constexpr size_t kManyPages = size_t{1} << 20;

template <typename T>
T* map(size_t count) {
  void* const memory =
      mmap(nullptr, count * sizeof(T), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  return static_cast<T*>(memory);
}

// Fills mapped memory with zeros. Whole pages of it occupy no memory afterwards.
void clear(void* memory, size_t bytes) {
  auto* const begin = static_cast<unsigned char*>(memory);
  const uintptr_t first = reinterpret_cast<uintptr_t>(begin);
  const uintptr_t pages = (first + kPage - 1) / kPage * kPage, pages_end = (first + bytes) / kPage * kPage;
  if (pages_end < pages + 16 * kPage) {
    std::memset(begin, 0, bytes);
    return;
  }
  std::memset(begin, 0, pages - first);
  madvise(reinterpret_cast<void*>(pages), pages_end - pages, MADV_DONTNEED);
  std::memset(reinterpret_cast<void*>(pages_end), 0, first + bytes - pages_end);
}

struct Memory {
  unsigned char* const base = map<unsigned char>(kRange);
  // The allocation that each unit belongs to. Kernels read it while the host allocates.
  std::atomic<Allocation*>* const owners = map<std::atomic<Allocation*>>(kRange / kUnit);
  Granule* const granules = map<Granule>(kRange / Granule::kBytes);
  uint64_t* const written = map<uint64_t>(kRange / 64);  // one bit per byte

  std::mutex mutex;
  std::map<unsigned char*, Allocation> allocations;
  std::deque<Allocation> freed;  // recently
  size_t next = 0;               // where to look for room first
  size_t in_use = 0;             // bytes of both kinds, with gaps
  size_t device_bytes = 0;
};

Memory& memory() {
  static auto* const the_memory = new Memory;  // streams may still run when statics are destroyed
  return *the_memory;
}

size_t units_of(size_t bytes) { return (bytes + kUnit - 1) / kUnit; }

// The bytes of an allocation and of the gap behind it. Gaps are large in the checked build, so that accesses out of
// bounds do not fall into another allocation.
size_t span_of(size_t bytes) {
  const size_t gap = is_checked_build() ? 256 * kUnit : kUnit;
  return units_of(bytes) * kUnit + gap;
}

size_t alignment_of(size_t bytes) { return bytes >= kManyPages ? kPage : kUnit; }

unsigned char* aligned(unsigned char* address, size_t alignment) {
  return address + (~reinterpret_cast<uintptr_t>(address) + 1) % alignment;
}

// Finds room for `bytes` at or after `start`; null if there is none.
unsigned char* find_room(Memory& all, size_t bytes, size_t start) {
  const size_t span = span_of(bytes), alignment = alignment_of(bytes);
  unsigned char* candidate = aligned(all.base + start, alignment);
  auto above = all.allocations.lower_bound(candidate);
  const auto end_of = [&](const auto& entry) { return aligned(entry.first + span_of(entry.second.bytes), alignment); };
  if (above != all.allocations.begin()) candidate = std::max(candidate, end_of(*std::prev(above)));
  while (above != all.allocations.end() && candidate + span > above->first) candidate = end_of(*above++);
  return candidate + span <= all.base + kRange ? candidate : nullptr;
}

// Reuses freed memory late, so that code that still uses it reads poison, but not so late that it piles up.
unsigned char* find_room(Memory& all, size_t bytes) {
  constexpr size_t kLate = size_t{32} << 20;
  if (all.next > 2 * all.in_use + kLate) all.next = 0;
  unsigned char* const room = find_room(all, bytes, all.next);
  return room || all.next == 0 ? room : find_room(all, bytes, 0);
}

void set_owner(Memory& all, const Allocation& allocation, Allocation* owner) {
  const auto first = static_cast<size_t>(allocation.address - all.base) / kUnit;
  const size_t end = first + units_of(allocation.bytes);
  for (size_t i = first; i < end; ++i) all.owners[i].store(owner, std::memory_order_release);
}

void forget(Memory& all, const unsigned char* address, size_t bytes) {
  if (!is_checked_build()) return;
  const auto begin = static_cast<size_t>(address - all.base);  // a multiple of kUnit
  const size_t units = units_of(bytes);
  clear(all.granules + begin / Granule::kBytes, units * kUnit / Granule::kBytes * sizeof(Granule));
  clear(all.written + begin / 64, units * kUnit / 8);
}

}  // namespace

void* allocate_memory(size_t bytes, MemoryKind kind, size_t limit) {
  Memory& all = memory();
  const std::lock_guard lock(all.mutex);
  if (bytes > kRange / 2) return nullptr;
  if (kind == MemoryKind::kDevice && (bytes > limit || all.device_bytes > limit - bytes)) return nullptr;
  unsigned char* const address = find_room(all, bytes);
  if (!address) return nullptr;
  poison(address, (units_of(bytes) + 1) * kUnit);
  forget(all, address, bytes);
  Allocation& allocation = all.allocations[address] = {address, bytes, kind};
  set_owner(all, allocation, &allocation);
  all.next = static_cast<size_t>(address - all.base) + span_of(bytes);
  all.in_use += span_of(bytes);
  if (kind == MemoryKind::kDevice) all.device_bytes += bytes;
  return address;
}

bool free_memory(void* address, MemoryKind kind) {
  Memory& all = memory();
  const std::lock_guard lock(all.mutex);
  const auto found = all.allocations.find(static_cast<unsigned char*>(address));
  if (found == all.allocations.end() || found->second.kind != kind) return false;
  const Allocation& allocation = found->second;
  set_owner(all, allocation, nullptr);
  poison(allocation.address, allocation.bytes);
  forget(all, allocation.address, allocation.bytes);
  all.in_use -= span_of(allocation.bytes);
  if (kind == MemoryKind::kDevice) all.device_bytes -= allocation.bytes;
  constexpr size_t kRemembered = 256;
  all.freed.push_front(allocation);
  if (all.freed.size() > kRemembered) all.freed.pop_back();
  all.allocations.erase(found);
  return true;
}

size_t device_memory_in_use() {
  Memory& all = memory();
  const std::lock_guard lock(all.mutex);
  return all.device_bytes;
}

bool is_in_device_range(const void* address) {
  return static_cast<size_t>(static_cast<const unsigned char*>(address) - memory().base) < kRange;
}

const Allocation* find_allocation(const void* address) {
  Memory& all = memory();
  if (!is_in_device_range(address)) return nullptr;
  const auto unit = static_cast<size_t>(static_cast<const unsigned char*>(address) - all.base) / kUnit;
  const Allocation* const owner = all.owners[unit].load(std::memory_order_acquire);
  return owner && owner->holds(address, 1) ? owner : nullptr;
}

namespace {

// Returns the bytes between the address and the allocation; 0 within it.
size_t distance(const Allocation& allocation, const unsigned char* address) {
  if (address < allocation.address) return static_cast<size_t>(allocation.address - address);
  const unsigned char* const last = allocation.address + allocation.bytes - 1;
  return address > last ? static_cast<size_t>(address - last) : 0;
}

}  // namespace

std::string describe_device_memory(const void* first, size_t bytes) {
  Memory& all = memory();
  const std::lock_guard lock(all.mutex);
  auto* const address = static_cast<unsigned char*>(const_cast<void*>(first));
  const Allocation* nearest = nullptr;
  const char* what = "an allocation of";
  const auto consider = [&](const Allocation& one) {
    if (!nearest || distance(one, address) < distance(*nearest, address)) nearest = &one;
  };
  const auto above = all.allocations.upper_bound(address);
  if (above != all.allocations.end()) consider(above->second);
  if (above != all.allocations.begin()) consider(std::prev(above)->second);
  for (const Allocation& one : all.freed) {
    if (distance(one, address) > 0 || (nearest && distance(*nearest, address) == 0)) continue;
    nearest = &one;
    what = "freed memory of";
  }
  char text[160];
  if (!nearest) {
    std::snprintf(text, sizeof text, "address %p", first);
  } else {
    std::snprintf(text, sizeof text, "%s of %s %zu bytes", byte_range(address - nearest->address, bytes).c_str(), what,
                  nearest->bytes);
  }
  return text;
}

GlobalShadow shadow_of(const void* address) {
  Memory& all = memory();
  return {all.granules, static_cast<size_t>(static_cast<const unsigned char*>(address) - all.base)};
}

namespace {

// Calls f(word, mask) for the bits of bytes begin … begin + count - 1, until it returns false.
template <typename F>
bool for_each_word(size_t begin, size_t count, F&& f) {
  const size_t end = begin + count;
  while (begin < end) {
    const size_t word = begin / 64, first = begin % 64, stop = std::min<size_t>(64, end - word * 64);
    const uint64_t below_stop = stop == 64 ? ~uint64_t{0} : (uint64_t{1} << stop) - 1;
    if (!f(word, below_stop & ~uint64_t{0} << first)) return false;
    begin = (word + 1) * 64;
  }
  return true;
}

}  // namespace

void mark_written(const void* address, size_t bytes) {
  uint64_t* const written = memory().written;
  for_each_word(shadow_of(address).byte, bytes, [&](size_t word, uint64_t mask) {
    written[word] |= mask;
    return true;
  });
}

bool is_written(const void* address, size_t bytes) {
  const uint64_t* const written = memory().written;
  return for_each_word(shadow_of(address).byte, bytes,
                       [&](size_t word, uint64_t mask) { return (written[word] & mask) == mask; });
}

}  // namespace foretoken::simt
