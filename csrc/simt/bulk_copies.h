// Bulk copies by a block's copy engine: into shared memory, where an mbarrier counts the bytes, and out of shared
// memory, in groups that the thread waits for.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace foretoken::simt {

struct Block;
struct Thread;

// A copy out of shared memory.
struct BulkStore {
  uint32_t group;
  uint32_t time;  // of the copy engine when it reads; it writes at time + 1
  bool read_is_awaited;
  bool done;
  std::function<void()> copy;
};

struct ThreadStores {
  std::vector<BulkStore> pending;
  uint32_t groups = 0;  // committed
};

// Pending copies into shared memory.
class BulkLoads {
 public:
  void add(std::function<void()> complete) { pending_.push_back(std::move(complete)); }
  bool empty() const { return pending_.empty(); }
  void clear() { pending_.clear(); }
  size_t size() const { return pending_.size(); }
  void complete(size_t i);

 private:
  std::vector<std::function<void()>> pending_;
};

// Returns the problem with the copies of a thread that exits; empty if there is none.
std::string problem_of_stores(const Thread& thread);
// Finishes the copies that the thread did not wait for.
void finish_stores(Thread& thread);

}  // namespace foretoken::simt
