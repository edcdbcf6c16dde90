// The addresses of this library in memory. They identify accesses by their code, and constants.
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
