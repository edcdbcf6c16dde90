// Takes pinned blocks from a pool and returns them once the device has finished with them.
#include "csrc/cuda/host/pinned_memory.h"

namespace foretoken::cuda {

namespace {

constexpr int64_t kSmallest = 4096;
// Larger blocks serve whole checkpoints. The pool frees them instead of keeping them for the next one.
constexpr int64_t kLargestKept = 64 << 20;

int64_t rounded_size(int64_t bytes) {
  int64_t size = kSmallest;
  while (size < bytes) size *= 2;
  return size;
}

}  // namespace

void PinnedMemory::Release::operator()(Block* block) const { block->in_use_.store(false, std::memory_order_release); }

PinnedMemory::Block::~Block() {
  if (done_) discard(cudaEventDestroy(done_), "nothing waits for it any more");
  if (data_) discard(cudaFreeHost(data_), "nothing uses it any more");
}

bool PinnedMemory::is_free(Block& block) {
  if (block.in_use_.load(std::memory_order_acquire)) return false;
  if (!block.pending_) return true;
  const cudaError_t state = cudaEventQuery(block.done_);
  block.pending_ = state == cudaErrorNotReady;
  discard(state, "any other error is a failure of the device, which the next call that enqueues reports");
  return !block.pending_;
}

PinnedMemory::Owned PinnedMemory::take(int64_t bytes) {
  const int64_t size = rounded_size(bytes);
  for (const auto& block : blocks_) {
    if (block->size_ == size && is_free(*block)) {
      block->in_use_.store(true, std::memory_order_relaxed);
      return Owned(block.get());
    }
  }
  free_unused_large_blocks();
  auto block = std::make_unique<Block>();
  void* memory = nullptr;
  check(cudaHostAlloc(&memory, static_cast<size_t>(size), cudaHostAllocMapped), "cudaHostAlloc");
  block->data_ = static_cast<char*>(memory);
  block->size_ = size;
  block->in_use_.store(true, std::memory_order_relaxed);
  blocks_.push_back(std::move(block));
  return Owned(blocks_.back().get());
}

void PinnedMemory::release_after(Owned block, cudaStream_t stream) {
  try {
    if (block->done_ == nullptr) {
      check(cudaEventCreateWithFlags(&block->done_, cudaEventDisableTiming), "cudaEventCreateWithFlags");
    }
    check(cudaEventRecord(block->done_, stream), "cudaEventRecord");
    block->pending_ = true;
  } catch (const CudaFailure&) {
    discard(cudaStreamSynchronize(stream), "if it fails, nothing runs any more");
    throw;
  }
}

void PinnedMemory::free_unused_large_blocks() {
  std::erase_if(blocks_, [](const auto& block) { return block->size_ > kLargestKept && is_free(*block); });
}

}  // namespace foretoken::cuda
