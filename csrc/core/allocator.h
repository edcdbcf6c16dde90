// Caching, stream-ordered allocator over a backend's raw memory. It may hand out a freed block again at once: the next
// operation that uses the block is enqueued behind the last one that used it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <unordered_map>
#include <vector>

namespace foretoken {

class Backend;

struct MemoryStatistics {
  int64_t live = 0;      // bytes in use by tensors and workspaces
  int64_t peak = 0;      // largest `live` since the start or the last reset
  int64_t reserved = 0;  // bytes taken from the system, live or cached
};

class Allocator {
 public:
  // `limit` bounds `reserved`, in bytes. With `poison`, every block is handed out filled with NaN, so that tests notice
  // elements that no kernel has written.
  Allocator(Backend& backend, int64_t limit, bool poison) : backend_(backend), limit_(limit), poison_(poison) {}
  // Requires that the backend has stopped.
  ~Allocator();
  Allocator(const Allocator&) = delete;
  Allocator& operator=(const Allocator&) = delete;

  // Throws kOutOfMemory, naming `purpose`; the allocator stays usable.
  void* allocate(int64_t bytes, const char* purpose);
  void free(void* memory) noexcept;

  // Blocks owned by a capture. Every replay reuses them, so they are not lent out until the capture is destroyed.
  struct Pool {
    std::multimap<int64_t, void*> free_by_size;
    std::vector<void*> blocks;  // in use or free; left empty in the shared pool
  };
  // Until the next call, allocated blocks belong to `pool` and return to it when freed; null selects the shared pool.
  void allocate_from(Pool* pool) { pool_ = pool; }
  bool is_in(const Pool& pool, const void* memory) const;
  // Moves all blocks of `pool` to the shared pool.
  void dissolve(Pool& pool) noexcept;

  // Returns the shared pool's free blocks to the system. Waits for the stream first, because queued work may still use
  // them; during a capture it waits for the work enqueued before, because captured work uses only blocks of a capture's
  // pool. If the wait throws, nothing is returned.
  void trim();

  const MemoryStatistics& statistics() const { return statistics_; }
  void reset_peak() { statistics_.peak = statistics_.live; }

 private:
  struct Block {
    int64_t size;
    Pool* pool;
  };
  static void* take_cached(Pool& pool, int64_t size);
  void release_cached() noexcept;

  Backend& backend_;
  const int64_t limit_;
  const bool poison_;
  MemoryStatistics statistics_;
  std::unordered_map<const void*, Block> blocks_;  // all blocks, lent out or cached
  Pool shared_pool_;
  Pool* pool_ = nullptr;
};

}  // namespace foretoken
