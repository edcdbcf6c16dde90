// A device as one environment sees it: a backend (one stream) and the allocator over it.
#pragma once

#include <memory>
#include <vector>

#include "csrc/core/allocator.h"
#include "csrc/core/backend.h"

namespace foretoken {

class Capture;

class Device {
 public:
  Device(std::unique_ptr<Backend> backend, int64_t memory_limit, bool poison)
      : backend_(std::move(backend)), allocator_(*backend_, memory_limit, poison) {}
  ~Device() { backend_->stop(); }
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  Backend& backend() { return *backend_; }
  const Backend& backend() const { return *backend_; }
  Allocator& allocator() { return allocator_; }

  // The unfinished capture of this device's work, or null.
  Capture* capture = nullptr;

 private:
  std::unique_ptr<Backend> backend_;  // outlives the allocator
  Allocator allocator_;
};

// Enqueues an op that needs scratch. Frees the scratch at once, even if enqueueing throws: whatever reuses the memory
// is enqueued behind the op.
template <typename Args>
void run_with_workspace(Device& device, Args args, const char* op) {
  const int64_t bytes = device.backend().workspace(args);
  const auto free = [&](void* memory) { device.allocator().free(memory); };
  const std::unique_ptr<void, decltype(free)> memory(bytes > 0 ? device.allocator().allocate(bytes, op) : nullptr,
                                                     free);
  args.workspace = {memory.get(), bytes};
  device.backend().run(args);
}

}  // namespace foretoken
