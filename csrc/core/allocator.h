// Caching, stream-ordered allocator over a backend's raw memory. A freed block may be handed out again at once:
// whatever uses it next is enqueued behind whatever used it last.
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
  int64_t reserved = 0;  // bytes taken from the system: live and cached
};

class Allocator {
 public:
  // `limit` bounds `reserved`, in bytes. With `poison` memory that is handed out holds no numbers: tests find out what
  // no kernel has written.
  Allocator(Backend& backend, int64_t limit, bool poison) : backend_(backend), limit_(limit), poison_(poison) {}
  // The backend has stopped.
  ~Allocator();
  Allocator(const Allocator&) = delete;
  Allocator& operator=(const Allocator&) = delete;

  // Throws kOutOfMemory, naming `purpose`; the allocator stays usable.
  void* allocate(int64_t bytes, const char* purpose);
  void free(void* memory) noexcept;

  // Blocks of captured work, which uses them anew whenever it runs: nobody else may have them until it is gone.
  struct Pool {
    std::multimap<int64_t, void*> free_by_size;
    std::vector<void*> blocks;  // in use and free; not kept for everybody's
  };
  // Until the next call, allocated blocks are this pool's, also once they are freed; null: everybody's.
  void allocate_from(Pool* pool) { pool_ = pool; }
  bool is_in(const Pool& pool, const void* memory) const;
  // Gives the pool's blocks to everybody.
  void dissolve(Pool& pool) noexcept;

  // Gives cached blocks back to the system; waits for the stream, since queued work may still use them. While a capture
  // is made, that is the work from before it: blocks that captured work uses are a pool's, and not among them. Throws
  // what the wait throws, and gives nothing back then.
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
  std::unordered_map<const void*, Block> blocks_;  // every block there is
  Pool everybodys_;
  Pool* pool_ = nullptr;
};

}  // namespace foretoken
