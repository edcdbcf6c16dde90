#include "csrc/core/error.h"

namespace foretoken {

const char* name_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument: return "INVALID_ARGUMENT";
    case ErrorCode::kInvalidHandle: return "INVALID_HANDLE";
    case ErrorCode::kShapeMismatch: return "SHAPE_MISMATCH";
    case ErrorCode::kDTypeMismatch: return "DTYPE_MISMATCH";
    case ErrorCode::kDeviceMismatch: return "DEVICE_MISMATCH";
    case ErrorCode::kIndexOutOfRange: return "INDEX_OUT_OF_RANGE";
    case ErrorCode::kOutOfMemory: return "OUT_OF_MEMORY";
    case ErrorCode::kUnsupported: return "UNSUPPORTED";
    case ErrorCode::kDeviceUnavailable: return "DEVICE_UNAVAILABLE";
    case ErrorCode::kDiverged: return "DIVERGED";
    case ErrorCode::kInternal: return "INTERNAL";
  }
  return "INTERNAL";
}

Error make_error(ErrorCode code, const char* format, ...) {
  char text[1024];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  return Error(code, text);
}

void ErrorSlot::set(Error error) {
  const std::lock_guard lock(mutex_);
  if (error_) return;
  error_.emplace(std::move(error));
  set_.store(true, std::memory_order_release);
}

std::optional<Error> ErrorSlot::take() {
  const std::lock_guard lock(mutex_);
  std::optional<Error> error = std::move(error_);
  error_.reset();
  set_.store(false, std::memory_order_release);
  return error;
}

}  // namespace foretoken
