#include "csrc/simt/library_image.h"

#include <link.h>

#include <algorithm>

namespace foretoken::simt {

namespace {

const char kInside = 0;

int find(dl_phdr_info* info, size_t, void* result) {
  auto begin = ~uintptr_t{0}, end = uintptr_t{0};
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const auto& segment = info->dlpi_phdr[i];
    if (segment.p_type != PT_LOAD) continue;
    begin = std::min<uintptr_t>(begin, info->dlpi_addr + segment.p_vaddr);
    end = std::max<uintptr_t>(end, info->dlpi_addr + segment.p_vaddr + segment.p_memsz);
  }
  const LibraryImage image{reinterpret_cast<const char*>(begin), reinterpret_cast<const char*>(end)};
  if (!image.holds(&kInside)) return 0;
  *static_cast<LibraryImage*>(result) = image;
  return 1;
}

}  // namespace

const LibraryImage& library_image() {
  static const LibraryImage image = [] {
    LibraryImage found{};
    dl_iterate_phdr(find, &found);
    return found;
  }();
  return image;
}

}  // namespace foretoken::simt
