// The shared memory of a block: its dynamic part, then each static variable with a gap before it, all poisoned.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace foretoken::simt {

class SharedMemory {
 public:
  // What a block can have on the device that is emulated.
  static constexpr size_t kLargest = 227 * 1024;
  static constexpr size_t kWithoutAsking = 48 * 1024;

  ~SharedMemory();
  SharedMemory() = default;
  SharedMemory(SharedMemory&& other) noexcept;

  // For another block.
  void reset(size_t dynamic_bytes);

  unsigned char* dynamic() { return memory_ + kDynamicOffset; }
  // The variable of this key; null if there is no more room.
  unsigned char* variable(const void* key, const char* name, size_t bytes, size_t alignment);

  bool holds(const void* address) const {
    return static_cast<size_t>(static_cast<const unsigned char*>(address) - memory_) < kArenaBytes;
  }
  uint32_t offset(const void* address) const {
    return static_cast<uint32_t>(static_cast<const unsigned char*>(address) - memory_);
  }
  unsigned char* at(uint32_t offset) { return memory_ + offset; }
  // Whether the bytes lie within one variable.
  bool is_allocated(uint32_t offset, size_t bytes) const;

 private:
  static constexpr size_t kArenaBytes = 256 * 1024;
  static constexpr size_t kDynamicOffset = 1024;  // a null address stays invalid
  static constexpr size_t kGap = 64;

  struct Variable {
    const void* key;
    const char* name;
    size_t offset, bytes;
  };

  unsigned char* memory_ = nullptr;
  size_t dynamic_bytes_ = 0;
  size_t end_ = 0;
  std::vector<Variable> variables_;
};

}  // namespace foretoken::simt
