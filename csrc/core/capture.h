// A sequence of operations that is recorded once and can then be replayed with one call, on the same memory each time.
#pragma once

#include <memory>
#include <unordered_set>

#include "csrc/core/kv_cache.h"
#include "csrc/core/recurrent_states.h"
#include "csrc/core/tensor.h"

namespace foretoken {

class Capture {
 public:
  // Until finish(), work that is enqueued on the device is recorded instead of run. Temporary memory comes from the
  // same pool as that of `other` unless null, because two captures never run at once.
  Capture(std::shared_ptr<Device> device, const Capture* other);
  ~Capture();
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;

  // Throws if the device cannot capture the recorded work; then there is nothing to replay.
  void finish();
  bool finished() const { return work_ != nullptr; }
  // Requires finished().
  void replay() { device_->backend().replay(work_); }

  // Keeps memory that the operations use alive, even after its tensors are disposed.
  void retain(const std::shared_ptr<Storage>& storage);
  // The same for a cache or for states, with the memory that they get later.
  void retain(const std::shared_ptr<KvCache>& cache) { retained_.insert(cache); }
  void retain(const std::shared_ptr<RecurrentStates>& states) { retained_.insert(states); }

  Device& device() const { return *device_; }

 private:
  // Dissolved together with the last capture that uses it.
  struct CapturePool;

  const std::shared_ptr<Device> device_;
  const std::shared_ptr<CapturePool> pool_;
  std::unordered_set<std::shared_ptr<const void>> retained_;
  std::shared_ptr<CapturedWork> work_;
};

}  // namespace foretoken
