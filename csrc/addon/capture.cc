// Captures: recording operations once, and replaying them with one call.
#include "csrc/core/capture.h"

#include "csrc/addon/families.h"

namespace foretoken {

namespace {

Capture& capture_argument(Call& call) {
  const int64_t handle = call.integer("capture");
  std::unique_ptr<Capture>* const found = call.environment().captures.find(handle);
  if (found == nullptr) call.fail(ErrorCode::kInvalidHandle, "capture was disposed or is not a capture");
  return **found;
}

// beginCapture(device, sharesMemoryWith?): capture
napi_value begin_capture(Call& call) {
  const std::shared_ptr<Device> device = call.device_argument();
  call.check_not_capturing(*device);
  const Capture* const other = call.present() ? &capture_argument(call) : nullptr;
  if (other != nullptr && &other->device() != device.get()) {
    call.fail(ErrorCode::kDeviceMismatch, "sharesMemoryWith is on a different device from the new capture");
  }
  if (call.environment().captures.full()) call.fail(ErrorCode::kOutOfMemory, "too many live captures");
  const int64_t handle = call.environment().captures.insert(std::make_unique<Capture>(device, other));
  return Napi::Number::New(call.env(), static_cast<double>(handle));
}

// endCapture(capture): the device runs operations again, and the capture can be replayed
napi_value end_capture(Call& call) {
  Capture& capture = capture_argument(call);
  if (capture.device().capture != &capture) call.fail(ErrorCode::kInvalidArgument, "the capture has already ended");
  capture.finish();
  return call.nothing();
}

// replay(capture)
napi_value replay(Call& call) {
  Capture& capture = capture_argument(call);
  call.check_not_capturing(capture.device());
  if (!capture.finished()) call.fail(ErrorCode::kInvalidArgument, "the capture failed: there is nothing to replay");
  capture.replay();
  return call.nothing();
}

// disposeCapture(capture): discards the recorded work if the capture is unfinished
napi_value dispose_capture(Call& call) {
  const Capture& disposed = capture_argument(call);
  call.environment().captures.erase_if([&](const auto& capture) { return capture.get() == &disposed; });
  call.environment().report_memory();
  return call.nothing();
}

}  // namespace

const Exports kCaptureExports = {
    {"beginCapture", begin_capture},
    {"endCapture", end_capture},
    {"replay", replay},
    {"disposeCapture", dispose_capture},
};

}  // namespace foretoken
