// One call from JavaScript into an op: reads and checks the arguments, and returns the results. Every failed check
// throws an Error that names the op, the argument, the given value and the allowed values.
#pragma once

#include <napi.h>

#include <string>
#include <vector>

#include "csrc/addon/environment.h"

namespace foretoken {

class Call {
 public:
  Call(napi_env env, napi_callback_info info, const char* op);

  const char* op() const { return op_; }
  Napi::Env env() const { return env_; }
  Environment& environment() const { return environment_; }

  // Arguments, by position. Messages call the argument `name`.
  double number(size_t index, const char* name) const;
  float finite(size_t index, const char* name) const;
  float ranged(size_t index, const char* name, float lowest, float highest) const;
  int64_t integer(size_t index, const char* name, int64_t lowest = INT64_MIN, int64_t highest = INT64_MAX) const;
  bool boolean(size_t index, const char* name) const;
  std::string string(size_t index, const char* name) const;
  Napi::Value value(size_t index) const;
  bool present(size_t index) const;  // false for undefined, null and handle 0
  // May run JavaScript (the array's getters), so read it before any tensor: JavaScript could dispose the tensor.
  Shape shape(size_t index, const char* name) const;
  DType dtype(size_t index, const char* name) const;
  DType dot_dtype(size_t index, const char* name) const;  // of a dot format: bfloat16 or int8
  uint64_t seed(size_t index, const char* name) const;    // a BigInt or a non-negative integer

  // Tensors. All tensors of one call must be on the same device.
  Tensor& tensor(size_t index, const char* name);     // any dtype, any layout
  Tensor& row_major(size_t index, const char* name);  // any dtype
  Tensor& float32(size_t index, const char* name);    // row-major
  // Row-major, in float32, or bfloat16 if the device computes in it. All activations of one call must have the same
  // dtype, except those read by any_activations().
  Tensor& activations(size_t index, const char* name);
  Tensor& any_activations(size_t index, const char* name);
  Tensor& floating(size_t index, const char* name);  // float32, bfloat16 or float16; row-major or panels
  Tensor& weight(size_t index, const char* name);    // the same, or in a dot format
  Tensor& int32(size_t index, const char* name);
  Tensor* optional_float32(size_t index, const char* name);  // null when absent
  Tensor* optional_int32(size_t index, const char* name);
  Device& device() const;  // of the tensors read so far
  const std::shared_ptr<Device>& shared_device() const { return device_; }
  std::shared_ptr<Device> device_argument(size_t index);  // a device handle
  void check_not_capturing(const Device& device) const;   // refuses a call that cannot be part of a capture

  // The dtype of activations that the call returns: an argument, or `otherwise` if that is absent.
  DType activation_dtype(size_t index, const char* name, DType otherwise) const;

  // Checks an index tensor whose contents the host knows. Kernels check the others. `except` is allowed, too.
  void check_indices(const Tensor& tensor, const char* name, int64_t limit, const int32_t* except = nullptr) const;

  void check_shape(const Tensor& tensor, const char* name, const Shape& expected) const;
  void check_rank(const Tensor& tensor, const char* name, int rank) const { check_rank(tensor, name, rank, rank); }
  void check_rank(const Tensor& tensor, const char* name, int lowest, int highest) const;
  [[noreturn]] [[gnu::format(printf, 3, 4)]] void fail(ErrorCode code, const char* format, ...) const;

  // Results.
  Tensor output(DType dtype, const Shape& shape);  // uninitialised, on the device of the arguments
  napi_value handle(Tensor tensor);
  napi_value handles(std::vector<Tensor> tensors);
  napi_value nothing() const { return env_.Undefined(); }

 private:
  void check_computes_in(DType dtype, const char* name) const;

  static constexpr size_t kMaxArguments = 32;
  Napi::Env env_;
  Environment& environment_;
  const char* op_;
  size_t count_ = kMaxArguments;
  napi_value arguments_[kMaxArguments];
  std::shared_ptr<Device> device_;
  const char* activations_ = nullptr;  // name of the first activations that were read
  DType activations_dtype_ = DType::kFloat32;
};

// An exported function, under its name in JavaScript and in messages.
struct Export {
  const char* name;
  napi_value (*function)(Call& call);
};

// The exports of one source file.
using Exports = std::vector<Export>;

}  // namespace foretoken
