// Records of accesses to memory: for every four bytes the last few accesses, with the actor and the code of each.
#pragma once

#include <cstddef>
#include <cstdint>

namespace foretoken::simt {

// How memory is accessed; an access without kWrite reads.
enum AccessKind : uint32_t {
  kRead = 0,
  kWrite = 1,
  kAtomic = 2,  // atomic or volatile; such accesses do not race with one another
  kAsync = 4,   // through the asynchronous proxy: by a copy engine or a tensor core
};

struct AccessRecord {
  static constexpr uint32_t kKindBits = 3, kMaskBits = 4;

  uint32_t interval = 0;  // the actor and time in the checker's list; 0 or older than the launch: no access
  uint32_t packed = 0;    // offset of the code, bytes, kind

  uint32_t kind() const { return packed & 7; }
  uint32_t bytes() const { return packed >> kKindBits & 15; }
  uint32_t code() const { return packed >> (kKindBits + kMaskBits); }

  static uint32_t pack(uint32_t kind, uint32_t bytes, uint32_t code) {
    return code << (kKindBits + kMaskBits) | bytes << kKindBits | kind;
  }
};

struct Granule {
  static constexpr size_t kBytes = 4;
  static constexpr size_t kRecords = 4;
  AccessRecord records[kRecords];
};

}  // namespace foretoken::simt
