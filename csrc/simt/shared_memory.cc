#include "csrc/simt/shared_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <new>

#include "csrc/simt/poison.h"
#include "csrc/simt/report.h"
#include "csrc/simt/scheduler.h"
#include "csrc/simt/shared_variables.h"

namespace foretoken::simt {

namespace {

template <typename T>
T* map(size_t count) {
  void* const memory =
      mmap(nullptr, count * sizeof(T), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  return static_cast<T*>(memory);
}

constexpr size_t kBytes = SharedMemory::kArenas * SharedMemory::kArenaBytes;

// The memory of all arenas, one behind the other.
unsigned char* memory_of_all() {
  static auto* const memory = map<unsigned char>(kBytes);
  return memory;
}
Granule* granules_of_all() {
  static auto* const granules = map<Granule>(kBytes / Granule::kBytes);
  return granules;
}
uint8_t* owners_of_all() {
  static auto* const owners = map<uint8_t>(kBytes);
  return owners;
}
uint8_t* states_of_all() {
  static auto* const states = map<uint8_t>(kBytes);
  return states;
}

}  // namespace

SharedMemory::SharedMemory(size_t arena)
    : memory_(memory_of_all() + arena * kArenaBytes),
      granules_(granules_of_all() + arena * kArenaBytes / Granule::kBytes),
      owners_(owners_of_all() + arena * kArenaBytes),
      states_(states_of_all() + arena * kArenaBytes) {}

size_t SharedMemory::arena_of(const void* address) {
  return static_cast<size_t>(static_cast<const unsigned char*>(address) - memory_of_all()) / kArenaBytes;
}

void SharedMemory::reset(size_t dynamic_bytes) {
  std::memset(owners_, 0, end_);
  variables_.clear();
  variables_.push_back({nullptr, "", kDynamicOffset, dynamic_bytes});
  end_ = kDynamicOffset;
  own(kDynamicOffset, dynamic_bytes);
}

// Gives bytes to the newest variable, and poisons them and the gap before them.
void SharedMemory::own(size_t offset, size_t bytes) {
  const size_t end = offset + bytes;
  poison(memory_ + end_, end - end_);
  std::memset(states_ + end_, 0, end - end_);
  std::memset(owners_ + offset, static_cast<int>(variables_.size()), bytes);
  end_ = end;
}

unsigned char* SharedMemory::variable(const void* key, const char* name, size_t bytes, size_t alignment) {
  size_t used = bytes, statics = bytes;
  for (const Variable& known : variables_) {
    if (known.key == key) return memory_ + known.offset;
    used += known.bytes;
    if (known.key) statics += known.bytes;
  }
  const size_t offset = (end_ + kGap + alignment - 1) / alignment * alignment;
  if (used > kLargest || statics > kWithoutAsking || offset + bytes > kArenaBytes || variables_.size() == UINT8_MAX)
    return nullptr;
  variables_.push_back({key, name, offset, bytes});
  own(offset, bytes);
  return memory_ + offset;
}

std::string SharedMemory::describe(uint32_t offset, size_t bytes) const {
  const Variable* nearest = &variables_.front();
  for (const Variable& variable : variables_) {
    if (variable.offset <= offset) nearest = &variable;
  }
  const long first = static_cast<long>(offset) - static_cast<long>(nearest->offset);
  const std::string name = nearest->key ? "shared variable " + nearest->name : "dynamic shared memory";
  return name + ", " + byte_range(first, bytes) + " of " + std::to_string(nearest->bytes);
}

void SharedMemory::mark_written(uint32_t offset, size_t bytes) {
  for (size_t i = offset; i < offset + bytes; ++i) states_[i] |= kWritten;
}

bool SharedMemory::is_written(uint32_t offset, size_t bytes) const {
  return std::all_of(states_ + offset, states_ + offset + bytes, [](uint8_t state) { return state & kWritten; });
}

void SharedMemory::mark_in_flight(uint32_t offset, size_t bytes, bool in_flight) {
  for (size_t i = offset; i < offset + bytes; ++i) {
    states_[i] = static_cast<uint8_t>(in_flight ? states_[i] | kInFlight : states_[i] & ~kInFlight);
  }
}

bool SharedMemory::is_in_flight(uint32_t offset, size_t bytes) const {
  return std::any_of(states_ + offset, states_ + offset + bytes, [](uint8_t state) { return state & kInFlight; });
}

void* shared_variable(const void* key, const char* name, size_t bytes, size_t alignment) {
  void* const memory = current_thread().block->shared.variable(key, name, bytes, alignment);
  if (!memory)
    fail("shared memory: no room for " + std::string(name) +
         "; a block has 227 KiB in all, and 48 KiB of static variables");
  return memory;
}

void* dynamic_shared_memory() { return current_thread().block->shared.dynamic(); }

}  // namespace foretoken::simt
