// Where this library lies in memory: its code, by which accesses are known, and its constants.
#pragma once

#include <cstddef>
#include <cstdint>

namespace foretoken::simt {

struct LibraryImage {
  const char *begin, *end;

  bool holds(const void* address) const { return address >= begin && address < end; }
  uint32_t offset(const void* code) const { return static_cast<uint32_t>(static_cast<const char*>(code) - begin); }
};

const LibraryImage& library_image();

}  // namespace foretoken::simt
