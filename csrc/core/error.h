// The one exception type of the native side. The addon turns it into a ForetokenError with the same code.
#pragma once

#include <atomic>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>

namespace foretoken {

// Stable codes; lib/errors.ts lists the same strings.
enum class ErrorCode {
  kInvalidArgument,  // a value of the right type that is not allowed
  kInvalidHandle,    // a tensor or device that was disposed or never existed
  kShapeMismatch,
  kDTypeMismatch,
  kDeviceMismatch,
  kIndexOutOfRange,
  kOutOfMemory,
  kUnsupported,
  kDeviceUnavailable,
  kDiverged,  // NaN or infinity where a number is needed
  kInternal,
};

const char* name_of(ErrorCode code);

class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code(code) {}
  const ErrorCode code;
};

// Formats like printf, because messages contain names, shapes and numbers.
[[gnu::format(printf, 2, 3)]] Error make_error(ErrorCode code, const char* format, ...);

// Converts an int64_t for %lld: on some platforms int64_t is long.
constexpr long long lld(int64_t value) { return value; }

// Holds the first error of a running kernel: an index that only the device can see, a row from which no token can be
// drawn. Later kernels are skipped until the next readback reports the error, so nothing is computed from bad data.
class ErrorSlot {
 public:
  void set(Error error);
  bool is_set() const { return set_.load(std::memory_order_acquire); }
  std::optional<Error> take();

 private:
  std::atomic<bool> set_{false};
  mutable std::mutex mutex_;
  std::optional<Error> error_;
};

}  // namespace foretoken
