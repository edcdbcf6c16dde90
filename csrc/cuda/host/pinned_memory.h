// Pinned host memory for copies that run while JavaScript runs. Blocks are kept and reused once the device has finished
// with them.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "csrc/cuda/context.h"

namespace foretoken::cuda {

class PinnedMemory {
 public:
  // A block of the pool. Its owner may release it on any thread.
  class Block {
   public:
    Block() = default;
    ~Block();
    Block(const Block&) = delete;
    Block& operator=(const Block&) = delete;

    char* data() const { return data_; }
    int64_t size() const { return size_; }

   private:
    friend class PinnedMemory;
    char* data_ = nullptr;
    int64_t size_ = 0;
    std::atomic<bool> in_use_{false};
    cudaEvent_t done_ = nullptr;  // recorded by release_after
    bool pending_ = false;        // whether the device may not have reached done_ yet
  };
  struct Release {
    void operator()(Block* block) const;
  };
  using Owned = std::unique_ptr<Block, Release>;

  PinnedMemory() = default;
  PinnedMemory(const PinnedMemory&) = delete;
  PinnedMemory& operator=(const PinnedMemory&) = delete;

  // A block of at least `bytes`. The thread that enqueues calls this function and the next.
  Owned take(int64_t bytes);
  // Releases a block once everything enqueued so far has run. The stream must not be in a capture.
  void release_after(Owned block, cudaStream_t stream);

 private:
  static bool is_free(Block& block);
  void free_unused_large_blocks();

  std::vector<std::unique_ptr<Block>> blocks_;
};

}  // namespace foretoken::cuda
