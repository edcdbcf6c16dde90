#include "csrc/core/capture.h"

namespace foretoken {

struct Capture::CapturePool {
  explicit CapturePool(std::shared_ptr<Device> device) : device(std::move(device)) {}
  ~CapturePool() { device->allocator().dissolve(pool); }

  const std::shared_ptr<Device> device;
  Allocator::Pool pool;
};

Capture::Capture(std::shared_ptr<Device> device, const Capture* other)
    : device_(std::move(device)), pool_(other ? other->pool_ : std::make_shared<CapturePool>(device_)) {
  device_->backend().begin_capture();
  device_->allocator().allocate_from(&pool_->pool);
  device_->capture = this;
}

Capture::~Capture() {
  if (device_->capture != this) return;  // finished already
  try {
    finish();
  } catch (const Error&) {
    // The recorded work is discarded anyway.
  }
}

void Capture::finish() {
  device_->capture = nullptr;
  device_->allocator().allocate_from(nullptr);
  work_ = device_->backend().end_capture();
}

void Capture::retain(const std::shared_ptr<Storage>& storage) {
  // The pool keeps its own memory alive. Retaining a block here as well would keep the pool from reusing it.
  if (!device_->allocator().is_in(pool_->pool, storage->data)) retained_.insert(storage);
}

}  // namespace foretoken
