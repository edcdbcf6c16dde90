// cp.async: copies from global to shared memory that each thread issues, gathers in groups, and waits for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace foretoken::simt {

struct AsyncCopy {
  static constexpr size_t kBytes = 16;
  unsigned char* to;
  const unsigned char* from;  // null: zeros
  uint32_t group;
  const void* code;
  bool has_data;  // read already
  bool done;
  unsigned char data[kBytes];
};

struct ThreadCopies {
  std::vector<AsyncCopy> pending;
  uint32_t groups = 0;  // committed
};

}  // namespace foretoken::simt
