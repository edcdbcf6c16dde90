// A sequence of operations that was captured once and can run again with one call, on the same memory each time.
#pragma once

#include <memory>
#include <unordered_set>

#include "csrc/core/tensor.h"

namespace foretoken {

class Capture {
 public:
  // Until finish(), what is enqueued on the device is gathered instead of run. What the operations need between their
  // beginning and their end comes from the same memory as that of `other`, if there is one: they never run at once.
  Capture(std::shared_ptr<Device> device, const Capture* other);
  ~Capture();
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;

  // Throws where the device makes nothing of what was gathered; there is nothing to replay then.
  void finish();
  bool finished() const { return work_ != nullptr; }
  // Once finished.
  void replay() { device_->backend().replay(work_); }

  // Keeps what the operations use, even when its tensors are disposed.
  void retain(const std::shared_ptr<Storage>& storage);

  Device& device() const { return *device_; }

 private:
  // Dissolves with the last capture that uses it.
  struct SharedPool;

  const std::shared_ptr<Device> device_;
  const std::shared_ptr<SharedPool> pool_;
  std::unordered_set<std::shared_ptr<Storage>> retained_;
  std::shared_ptr<CapturedWork> work_;
};

}  // namespace foretoken
