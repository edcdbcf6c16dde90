#include "csrc/core/capture.h"

namespace foretoken {

struct Capture::SharedPool {
  explicit SharedPool(std::shared_ptr<Device> device) : device(std::move(device)) {}
  ~SharedPool() { device->allocator().dissolve(pool); }

  const std::shared_ptr<Device> device;
  Allocator::Pool pool;
};

Capture::Capture(std::shared_ptr<Device> device, const Capture* other)
    : device_(std::move(device)), pool_(other ? other->pool_ : std::make_shared<SharedPool>(device_)) {
  device_->backend().begin_capture();
  device_->allocator().allocate_from(&pool_->pool);
  device_->capture = this;
}

Capture::~Capture() {
  if (device_->capture != this) return;  // it has ended
  try {
    finish();
  } catch (const Error&) {
    // What was gathered is given up anyway.
  }
}

void Capture::finish() {
  device_->capture = nullptr;
  device_->allocator().allocate_from(nullptr);
  work_ = device_->backend().end_capture();
}

void Capture::retain(const std::shared_ptr<Storage>& storage) {
  // The pool's memory stays anyway; holding it here, too, would keep it from being used twice.
  if (!device_->allocator().is_in(pool_->pool, storage->data)) retained_.insert(storage);
}

}  // namespace foretoken
