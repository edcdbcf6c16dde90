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

  // Arguments. Each method reads the next one; messages call it `name`.
  double number(const char* name);
  float finite(const char* name);
  float ranged(const char* name, float lowest, float highest);
  int64_t integer(const char* name, int64_t lowest = INT64_MIN, int64_t highest = INT64_MAX);
  bool boolean(const char* name);
  std::string string(const char* name);
  // May run JavaScript (the array's getters), so shapes come before tensors: JavaScript could dispose a tensor.
  Shape shape(const char* name);
  DType dtype(const char* name);
  DType dot_dtype(const char* name);  // of a dot format: bfloat16 or int8
  uint64_t seed(const char* name);    // a BigInt or a non-negative integer
  Napi::Value value();                // of any type

  // Whether the next argument is there. An argument that is not there is skipped.
  bool given();                                // false for undefined
  bool present();                              // false for undefined, null and handle 0
  void skip(size_t count) { next_ += count; }  // arguments that belong to one that is not there

  // Tensors. All tensors of one call must be on the same device.
  Tensor& tensor(const char* name);     // any dtype, any layout
  Tensor& row_major(const char* name);  // any dtype
  Tensor& float32(const char* name);    // row-major
  // Row-major, in float32, or bfloat16 if the device computes in it. All activations of one call must have the same
  // dtype, except those read by any_activations().
  Tensor& activations(const char* name);
  Tensor& any_activations(const char* name);
  Tensor& floating(const char* name);  // float32, bfloat16 or float16; row-major or panels
  Tensor& weight(const char* name);    // the same, or in a dot format
  Tensor& int32(const char* name);
  Tensor* optional_float32(const char* name);  // null when absent
  Tensor* optional_int32(const char* name);
  // A KV cache, on the same device; its dtype is that of activations.
  KvCache& kv_cache();
  // States of recurrent layers, on the same device. Always float32, whatever the activations are.
  RecurrentStates& recurrent_states();
  Device& device() const;  // of the tensors read so far
  const std::shared_ptr<Device>& shared_device() const { return device_; }
  std::shared_ptr<Device> device_argument();             // a device handle
  void check_not_capturing(const Device& device) const;  // refuses a call that cannot be part of a capture

  // A dtype of activations on a device: float32, or bfloat16 if the device computes in it.
  DType activation_dtype(const char* name, const Device& device);
  // The dtype of activations that the call returns: an argument, or `otherwise` if that is absent.
  DType activation_dtype(const char* name, DType otherwise);

  // Refuses a call with more arguments than were read: the binding's types do not agree with the function.
  void check_all_read() const;

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
  Napi::Value peek() const;  // the next argument, without reading it
  // A cache or states, of `kind` in messages.
  template <typename T>
  T& memory(HandleTable<std::shared_ptr<T>>& table, const char* name, const char* kind);
  void check_computes_in(const Device& device, DType dtype, const char* name) const;
  void use_device(const std::shared_ptr<Device>& device, const char* name);
  void use_activations(DType dtype, const char* name);
  void check_floating(const Tensor& found, const char* name) const;

  static constexpr size_t kMaxArguments = 32;
  Napi::Env env_;
  Environment& environment_;
  const char* op_;
  size_t count_ = kMaxArguments;
  size_t next_ = 0;  // place of the next argument to read
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
