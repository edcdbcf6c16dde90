#include "csrc/simt/poison.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace foretoken::simt {

namespace {

constexpr size_t kPage = 4096;
// The size of a file of poison, which is mapped as often as needed.
constexpr size_t kFileBytes = size_t{4} << 20;

int make_file() {
  const int file = memfd_create("poison", MFD_CLOEXEC);
  if (file < 0) return -1;
  void* const contents = ftruncate(file, kFileBytes) == 0
                             ? mmap(nullptr, kFileBytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0)
                             : MAP_FAILED;
  if (contents == MAP_FAILED) {
    close(file);
    return -1;
  }
  std::memset(contents, kPoison, kFileBytes);
  munmap(contents, kFileBytes);
  return file;
}

bool map_file(char* memory, size_t bytes) {
  static const int file = make_file();
  constexpr int kHow = MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE;
  return file >= 0 && mmap(memory, bytes, PROT_READ | PROT_WRITE, kHow, file, 0) != MAP_FAILED;
}

}  // namespace

void poison(void* memory, size_t bytes) {
  auto* begin = static_cast<char*>(memory);
  char* const end = begin + bytes;
  if (bytes >= kFileBytes) {
    const auto first_page = (reinterpret_cast<uintptr_t>(begin) + kPage - 1) / kPage * kPage;
    auto* const pages = reinterpret_cast<char*>(first_page);
    std::memset(begin, kPoison, static_cast<size_t>(pages - begin));
    begin = pages;
    while (end - begin >= static_cast<ptrdiff_t>(kPage)) {
      const size_t piece = std::min(kFileBytes, static_cast<size_t>(end - begin) / kPage * kPage);
      if (!map_file(begin, piece)) break;
      begin += piece;
    }
  }
  std::memset(begin, kPoison, static_cast<size_t>(end - begin));
}

}  // namespace foretoken::simt
