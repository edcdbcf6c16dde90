// Pinned host memory for copies that run beside JavaScript: blocks are kept and used again once the device is done.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "csrc/cuda/context.h"

namespace foretoken::cuda {

class PinnedMemory {
 public:
  // A block in use; goes back when the last owner lets go, from any thread.
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
    // What the device still has to do with it, if anything.
    cudaEvent_t done_ = nullptr;
    bool pending_ = false;
  };
  struct Release {
    void operator()(Block* block) const;
  };
  using Owned = std::unique_ptr<Block, Release>;

  PinnedMemory() = default;
  PinnedMemory(const PinnedMemory&) = delete;
  PinnedMemory& operator=(const PinnedMemory&) = delete;

  // A block of at least `bytes`. This and the next are called by the thread that enqueues.
  Owned take(int64_t bytes);
  // Lets go of a block once everything that is on the stream by now has run. The stream is not being captured.
  void release_after(Owned block, cudaStream_t stream);

 private:
  static bool is_free(Block& block);
  void free_unused_large_blocks();

  std::vector<std::unique_ptr<Block>> blocks_;
};

}  // namespace foretoken::cuda
