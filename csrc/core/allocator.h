// Caching, stream-ordered allocator over a backend's raw memory. A freed block may be handed out again at once:
// whatever uses it next is enqueued behind whatever used it last.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <unordered_map>

namespace foretoken {

class Backend;

struct MemoryStatistics {
  int64_t live = 0;      // bytes in use by tensors and workspaces
  int64_t peak = 0;      // largest `live` since the start or the last reset
  int64_t reserved = 0;  // bytes taken from the system: live and cached
};

class Allocator {
 public:
  // `limit` bounds `reserved`, in bytes.
  Allocator(Backend& backend, int64_t limit) : backend_(backend), limit_(limit) {}
  ~Allocator();
  Allocator(const Allocator&) = delete;
  Allocator& operator=(const Allocator&) = delete;

  // Throws kOutOfMemory, naming `purpose`; the allocator stays usable.
  void* allocate(int64_t bytes, const char* purpose);
  void free(void* memory) noexcept;

  // Gives cached blocks back to the system; waits for the stream, since queued work may still use them.
  void trim();

  const MemoryStatistics& statistics() const { return statistics_; }
  void reset_peak() { statistics_.peak = statistics_.live; }

 private:
  void* take_cached(int64_t bytes);

  Backend& backend_;
  const int64_t limit_;
  MemoryStatistics statistics_;
  std::unordered_map<void*, int64_t> blocks_;  // every block and its size
  std::multimap<int64_t, void*> free_by_size_;
};

}  // namespace foretoken
