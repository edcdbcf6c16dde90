#include "csrc/addon/call.h"

#include <cmath>
#include <cstdarg>

#include "csrc/addon/javascript.h"

namespace foretoken {

namespace {

const char* kind_of(Napi::Value value) {
  switch (value.Type()) {
    case napi_undefined: return "undefined";
    case napi_null: return "null";
    case napi_boolean: return "a boolean";
    case napi_number: return "a number";
    case napi_string: return "a string";
    case napi_symbol: return "a symbol";
    case napi_object: return "an object";
    case napi_function: return "a function";
    case napi_external: return "an external";
    case napi_bigint: return "a bigint";
  }
  return "something else";
}

}  // namespace

Call::Call(napi_env env, napi_callback_info info, const char* op)
    : env_(env), environment_(Environment::of(env)), op_(op) {
  napi_get_cb_info(env, info, &count_, arguments_, nullptr, nullptr);
  if (count_ > kMaxArguments) count_ = kMaxArguments;
}

void Call::fail(ErrorCode code, const char* format, ...) const {
  char text[768];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  throw make_error(code, "%s: %s", op_, text);
}

Napi::Value Call::peek() const { return next_ < count_ ? Napi::Value(env_, arguments_[next_]) : env_.Undefined(); }

Napi::Value Call::value() {
  const Napi::Value next = peek();
  ++next_;
  return next;
}

bool Call::given() {
  const bool is_given = !peek().IsUndefined();
  if (!is_given) ++next_;
  return is_given;
}

bool Call::present() {
  const Napi::Value next = peek();
  const bool is_zero = next.IsNumber() && next.As<Napi::Number>().DoubleValue() == 0;
  const bool is_present = !next.IsUndefined() && !next.IsNull() && !is_zero;
  if (!is_present) ++next_;
  return is_present;
}

void Call::check_all_read() const {
  if (next_ >= count_) return;
  fail(ErrorCode::kInternal, "%zu arguments were given, but %zu are read", count_, next_);
}

double Call::number(const char* name) {
  const Napi::Value given = value();
  double number;
  if (napi_get_value_double(env_, given, &number) != napi_ok) {
    fail(ErrorCode::kInvalidArgument, "%s must be a number, but is %s", name, kind_of(given));
  }
  return number;
}

float Call::finite(const char* name) {
  const double given = number(name);
  if (!std::isfinite(given) || std::fabs(given) > 3.4028234663852886e38) {
    fail(ErrorCode::kInvalidArgument, "%s must be a finite number, but is %g", name, given);
  }
  return static_cast<float>(given);
}

float Call::ranged(const char* name, float lowest, float highest) {
  const float given = finite(name);
  if (given < lowest || given > highest) {
    fail(ErrorCode::kInvalidArgument, "%s must be in %g … %g, but is %g", name, static_cast<double>(lowest),
         static_cast<double>(highest), static_cast<double>(given));
  }
  return given;
}

int64_t Call::integer(const char* name, int64_t lowest, int64_t highest) {
  const double given = number(name);
  constexpr double kExact = 9007199254740992.0;  // 2^53
  if (!(given >= -kExact && given <= kExact) || given != std::floor(given)) {
    fail(ErrorCode::kInvalidArgument, "%s must be an integer, but is %g", name, given);
  }
  const auto integer = static_cast<int64_t>(given);
  if (integer < lowest || integer > highest) {
    if (highest == INT64_MAX) {
      fail(ErrorCode::kInvalidArgument, "%s must be at least %lld, but is %lld", name, lld(lowest), lld(integer));
    }
    fail(ErrorCode::kInvalidArgument, "%s must be in %lld … %lld, but is %lld", name, lld(lowest), lld(highest),
         lld(integer));
  }
  return integer;
}

bool Call::boolean(const char* name) {
  const Napi::Value given = value();
  if (!given.IsBoolean()) fail(ErrorCode::kInvalidArgument, "%s must be a boolean, but is %s", name, kind_of(given));
  return given.As<Napi::Boolean>().Value();
}

std::string Call::string(const char* name) {
  const Napi::Value given = value();
  if (!given.IsString()) fail(ErrorCode::kInvalidArgument, "%s must be a string, but is %s", name, kind_of(given));
  return given.As<Napi::String>().Utf8Value();
}

uint64_t Call::seed(const char* name) {
  const Napi::Value given = peek();
  if (given.IsBigInt()) {
    ++next_;
    bool lossless = false;
    const uint64_t bits = given.As<Napi::BigInt>().Uint64Value(&lossless);
    if (lossless) return bits;
    fail(ErrorCode::kInvalidArgument, "%s must be in 0 … 2^64-1", name);
  }
  return static_cast<uint64_t>(integer(name, 0));
}

Shape Call::shape(const char* name) {
  const Napi::Value given = value();
  if (!given.IsArray()) {
    fail(ErrorCode::kInvalidArgument, "%s must be an array of dimensions, but is %s", name, kind_of(given));
  }
  const Napi::Array array = given.As<Napi::Array>();
  const uint32_t rank = array.Length();  // read once, because a getter may make the array longer
  if (rank > kMaxRank) {
    fail(ErrorCode::kInvalidArgument, "%s has %u dimensions, but at most %d are allowed", name, rank, kMaxRank);
  }
  Shape shape;
  double product = 1;
  for (uint32_t i = 0; i < rank; ++i) {
    const Napi::Value element = get(array, i);
    const double dim = element.IsNumber() ? element.As<Napi::Number>().DoubleValue() : NAN;
    product *= dim > 0 ? dim : 1;
    if (!(dim >= 0) || dim != std::floor(dim) || !(product <= static_cast<double>(kMaxElements))) {
      fail(ErrorCode::kInvalidArgument,
           "%s[%u] is %g, but dimensions must be integers from 0 on, with a product of at most 2^52", name, i, dim);
    }
    shape.dims[shape.rank++] = static_cast<int64_t>(dim);
  }
  return shape;
}

DType Call::dtype(const char* name) {
  const std::string given = string(name);
  for (const DType dtype : {DType::kFloat32, DType::kBFloat16, DType::kFloat16, DType::kInt32}) {
    if (given == name_of(dtype)) return dtype;
  }
  fail(ErrorCode::kInvalidArgument, "%s must be float32, bfloat16, float16 or int32, but is %s", name, given.c_str());
}

DType Call::dot_dtype(const char* name) {
  const std::string given = string(name);
  for (const DType dtype : {DType::kBFloat16, DType::kInt8}) {
    if (given == name_of(dtype)) return dtype;
  }
  fail(ErrorCode::kInvalidArgument, "%s must be bfloat16 or int8, but is %s", name, given.c_str());
}

Tensor& Call::tensor(const char* name) {
  if (!peek().IsNumber()) {
    fail(ErrorCode::kInvalidArgument, "%s must be a tensor, but is %s", name, kind_of(peek()));
  }
  const int64_t handle = integer(name);
  Tensor* const tensor = environment_.tensors.find(handle);
  if (tensor == nullptr) fail(ErrorCode::kInvalidHandle, "%s was disposed or is not a tensor", name);
  use_device(tensor->storage->device, name);
  if (device_->capture != nullptr) device_->capture->retain(tensor->storage);
  return *tensor;
}

template <typename T>
T& Call::memory(HandleTable<std::shared_ptr<T>>& table, const char* name, const char* kind) {
  if (!peek().IsNumber()) fail(ErrorCode::kInvalidArgument, "%s must be %s, but is %s", name, kind, kind_of(peek()));
  const std::shared_ptr<T>* const found = table.find(integer(name));
  if (found == nullptr) fail(ErrorCode::kInvalidHandle, "%s was disposed or is not %s", name, kind);
  use_device((*found)->device(), name);
  if (device_->capture != nullptr) device_->capture->retain(*found);
  return **found;
}

KvCache& Call::kv_cache() {
  KvCache& cache = memory(environment_.kv_caches, "cache", "a KV cache");
  use_activations(cache.sizes().dtype, "cache");
  return cache;
}

RecurrentStates& Call::recurrent_states() {
  return memory(environment_.recurrent_states, "states", "the states of recurrent layers");
}

void Call::use_device(const std::shared_ptr<Device>& device, const char* name) {
  if (device_ == nullptr) {
    device_ = device;
  } else if (device_ != device) {
    fail(ErrorCode::kDeviceMismatch, "%s is on a different device from the arguments before it", name);
  }
}

Tensor& Call::row_major(const char* name) {
  Tensor& found = tensor(name);
  if (found.layout != Layout::kRowMajor) {
    fail(ErrorCode::kUnsupported, "%s is a packed weight, but must not be packed", name);
  }
  return found;
}

Tensor& Call::float32(const char* name) {
  Tensor& found = row_major(name);
  if (found.dtype != DType::kFloat32) {
    fail(ErrorCode::kDTypeMismatch, "%s must be float32, but is %s", name, name_of(found.dtype));
  }
  return found;
}

void Call::check_computes_in(const Device& device, DType dtype, const char* name) const {
  const Backend& backend = device.backend();
  if (backend.computes_in(dtype)) return;
  fail(ErrorCode::kUnsupported, "%s is %s, but this device (%s) computes in float32 only", name, name_of(dtype),
       backend.kind());
}

Tensor& Call::any_activations(const char* name) {
  Tensor& found = row_major(name);
  if (found.dtype != DType::kFloat32 && found.dtype != DType::kBFloat16) {
    fail(ErrorCode::kDTypeMismatch, "%s must be float32 or bfloat16, but is %s", name, name_of(found.dtype));
  }
  check_computes_in(*device_, found.dtype, name);
  return found;
}

Tensor& Call::activations(const char* name) {
  Tensor& found = any_activations(name);
  use_activations(found.dtype, name);
  return found;
}

void Call::use_activations(DType dtype, const char* name) {
  if (activations_ == nullptr) {
    activations_ = name;
    activations_dtype_ = dtype;
  } else if (dtype != activations_dtype_) {
    fail(ErrorCode::kDTypeMismatch, "%s is %s but %s is %s; they must be the same", activations_,
         name_of(activations_dtype_), name, name_of(dtype));
  }
}

DType Call::activation_dtype(const char* name, DType otherwise) {
  return present() ? activation_dtype(name, *device_) : otherwise;
}

DType Call::activation_dtype(const char* name, const Device& device) {
  const DType given = dtype(name);
  if (given != DType::kFloat32 && given != DType::kBFloat16) {
    fail(ErrorCode::kInvalidArgument, "%s must be float32 or bfloat16, but is %s", name, name_of(given));
  }
  check_computes_in(device, given, name);
  return given;
}

Tensor& Call::floating(const char* name) {
  Tensor& found = tensor(name);
  check_floating(found, name);
  return found;
}

Tensor& Call::weight(const char* name) {
  Tensor& found = tensor(name);
  if (found.layout != Layout::kDot) check_floating(found, name);
  return found;
}

void Call::check_floating(const Tensor& found, const char* name) const {
  if (found.dtype != DType::kInt32 && found.dtype != DType::kInt8) return;
  fail(ErrorCode::kDTypeMismatch, "%s must be float32, bfloat16 or float16, but is %s", name, name_of(found.dtype));
}

Tensor& Call::int32(const char* name) {
  Tensor& found = row_major(name);
  if (found.dtype != DType::kInt32) {
    fail(ErrorCode::kDTypeMismatch, "%s must be int32, but is %s", name, name_of(found.dtype));
  }
  return found;
}

Tensor* Call::optional_float32(const char* name) { return present() ? &float32(name) : nullptr; }

Tensor* Call::optional_int32(const char* name) { return present() ? &int32(name) : nullptr; }

Device& Call::device() const { return *device_; }

std::shared_ptr<Device> Call::device_argument() {
  const int64_t handle = integer("device");
  const std::shared_ptr<Device>* const found = environment_.devices.find(handle);
  if (found == nullptr) fail(ErrorCode::kInvalidHandle, "device was disposed or is not a device");
  return *found;
}

void Call::check_not_capturing(const Device& device) const {
  if (device.capture == nullptr) return;
  fail(ErrorCode::kUnsupported, "not possible during a capture, whose work runs only when it is replayed");
}

void Call::check_indices(const Tensor& tensor, const char* name, int64_t limit, const int32_t* except) const {
  const int32_t* const values = tensor.known_indices();
  if (values == nullptr) return;
  const int64_t count = tensor.shape.count();
  for (int64_t i = 0; i < count; ++i) {
    if (values[i] >= 0 && values[i] < limit) continue;
    if (except != nullptr && values[i] == *except) continue;
    fail(ErrorCode::kIndexOutOfRange, "%s[%lld] is %d, but must be in 0 … %lld", name, lld(i), values[i],
         lld(limit - 1));
  }
}

void Call::check_shape(const Tensor& tensor, const char* name, const Shape& expected) const {
  if (tensor.shape == expected) return;
  fail(ErrorCode::kShapeMismatch, "%s is %s, but must be %s", name, tensor.shape.text().c_str(),
       expected.text().c_str());
}

void Call::check_rank(const Tensor& tensor, const char* name, int lowest, int highest) const {
  if (tensor.shape.rank >= lowest && tensor.shape.rank <= highest) return;
  if (lowest == highest) {
    fail(ErrorCode::kShapeMismatch, "%s is %s, but must have %d dimensions", name, tensor.shape.text().c_str(), lowest);
  }
  fail(ErrorCode::kShapeMismatch, "%s is %s, but must have %d to %d dimensions", name, tensor.shape.text().c_str(),
       lowest, highest);
}

Tensor Call::output(DType dtype, const Shape& shape) { return make_tensor(device_, dtype, shape, op_); }

napi_value Call::handle(Tensor tensor) {
  if (environment_.tensors.full()) fail(ErrorCode::kOutOfMemory, "too many live tensors");
  const int64_t handle = environment_.tensors.insert(std::move(tensor));
  return Napi::Number::New(env_, static_cast<double>(handle));
}

napi_value Call::handles(std::vector<Tensor> tensors) {
  const Napi::Array array = Napi::Array::New(env_, tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) set(array, static_cast<uint32_t>(i), handle(std::move(tensors[i])));
  return array;
}

}  // namespace foretoken
