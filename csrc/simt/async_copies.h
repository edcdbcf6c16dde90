// cp.async: copies from global to shared memory. Each thread issues them, commits them in groups, and waits for groups.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace foretoken::simt {

struct Thread;

struct AsyncCopy {
  static constexpr size_t kBytes = 16;
  unsigned char* to;
  const unsigned char* from;  // null: zeros
  uint32_t group;
  const void* code;
  bool has_data;  // whether the source has been read
  bool done;
  unsigned char data[kBytes];
};

struct ThreadCopies {
  std::vector<AsyncCopy> pending;
  uint32_t groups = 0;  // committed
};

// Fails if the thread exits with copies that it has not waited for.
void finish_copies(Thread& thread);

}  // namespace foretoken::simt
