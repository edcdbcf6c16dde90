// The shared memory of a block: its dynamic part, then each static variable with a gap before it, all poisoned; and the
// state of each byte that the checks need.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "csrc/simt/shadow.h"

namespace foretoken::simt {

class SharedMemory {
 public:
  // The limits of a block on the emulated device, with and without a request by the kernel.
  static constexpr size_t kLargest = 227 * 1024;
  static constexpr size_t kWithoutAsking = 48 * 1024;
  // The memory of this many blocks lies side by side.
  static constexpr size_t kArenas = 64;
  static constexpr size_t kArenaBytes = 256 * 1024;

  explicit SharedMemory(size_t arena);

  // Empties the memory for another block.
  void reset(size_t dynamic_bytes);

  unsigned char* dynamic() { return memory_ + kDynamicOffset; }
  // Returns the variable of this key; null if there is no room for it.
  unsigned char* variable(const void* key, const char* name, size_t bytes, size_t alignment);

  bool holds(const void* address) const {
    return static_cast<size_t>(static_cast<const unsigned char*>(address) - memory_) < kArenaBytes;
  }
  // Returns the arena that holds the address; kArenas or more if none does.
  static size_t arena_of(const void* address);

  uint32_t offset(const void* address) const {
    return static_cast<uint32_t>(static_cast<const unsigned char*>(address) - memory_);
  }
  unsigned char* at(uint32_t offset) { return memory_ + offset; }

  // Whether the bytes lie within one variable.
  bool is_allocated(uint32_t offset, size_t bytes) const {
    return owners_[offset] != 0 && offset + bytes <= kArenaBytes && owners_[offset] == owners_[offset + bytes - 1];
  }
  // Returns "shared variable sums, bytes 4 … 7 of 32", also for bytes outside of the nearest variable.
  std::string describe(uint32_t offset, size_t bytes) const;

  Granule* granules() { return granules_; }

  // Whether each byte has been written.
  void mark_written(uint32_t offset, size_t bytes);
  bool is_written(uint32_t offset, size_t bytes) const;
  // Marks bytes that an asynchronous copy writes until a thread waits for it.
  void mark_in_flight(uint32_t offset, size_t bytes, bool in_flight);
  bool is_in_flight(uint32_t offset, size_t bytes) const;

 private:
  static constexpr size_t kDynamicOffset = 1024;  // address 0 stays invalid
  static constexpr size_t kGap = 64;
  enum State : uint8_t { kWritten = 1, kInFlight = 2 };

  struct Variable {
    const void* key;
    std::string name;
    size_t offset, bytes;
  };
  void own(size_t offset, size_t bytes);

  unsigned char* memory_;
  Granule* granules_;
  uint8_t* owners_;  // the number of each byte's variable, counted from 1; 0: none
  uint8_t* states_;
  size_t end_ = 0;
  std::vector<Variable> variables_;
};

}  // namespace foretoken::simt
