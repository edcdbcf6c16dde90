// Tensors: creating, viewing, reading, writing and disposing of them.
#include <algorithm>

#include "csrc/addon/families.h"
#include "csrc/addon/javascript.h"

namespace foretoken {

namespace {

struct HostArray {
  const void* data;
  int64_t count;
};

// Reads a typed array with the element type of `dtype` (Uint16Array for 16-bit floats).
HostArray host_array(Call& call, DType dtype) {
  const Napi::Value given = call.value();
  napi_typedarray_type type = napi_int8_array;
  size_t length = 0;
  void* data = nullptr;
  if (!given.IsTypedArray() ||
      napi_get_typedarray_info(call.env(), given, &type, &length, &data, nullptr, nullptr) != napi_ok) {
    call.fail(ErrorCode::kInvalidArgument, "data must be a typed array");
  }
  const bool matches = dtype == DType::kFloat32 ? type == napi_float32_array
                       : dtype == DType::kInt32 ? type == napi_int32_array
                                                : type == napi_uint16_array;
  if (!matches) {
    call.fail(ErrorCode::kDTypeMismatch, "data for %s must be a %s", name_of(dtype),
              dtype == DType::kFloat32 ? "Float32Array"
              : dtype == DType::kInt32 ? "Int32Array"
                                       : "Uint16Array");
  }
  return {data, static_cast<int64_t>(length)};
}

void upload(const Call& call, Tensor& tensor, const HostArray& host) {
  if (host.count != tensor.shape.count()) {
    call.fail(ErrorCode::kShapeMismatch, "data has %lld elements, but shape %s needs %lld", lld(host.count),
              tensor.shape.text().c_str(), lld(tensor.shape.count()));
  }
  tensor.device().backend().upload(tensor.data(), host.data, tensor.bytes());
  if (tensor.dtype != DType::kInt32) return;
  const auto* const values = static_cast<const int32_t*>(host.data);
  std::vector<int32_t>& known = tensor.storage->host_indices;
  if (tensor.bytes() == tensor.storage->bytes) {
    known.assign(values, values + host.count);
  } else if (!known.empty()) {
    std::copy(values, values + host.count, known.begin() + tensor.offset / int64_t{sizeof(int32_t)});
  }
}

// empty(device, dtype, shape): a tensor with undefined contents
napi_value empty(Call& call) {
  const std::shared_ptr<Device> device = call.device_argument();
  const DType dtype = call.dtype("dtype");
  Tensor tensor = make_tensor(device, dtype, call.shape("shape"), call.op());
  call.environment().report_memory();
  return call.handle(std::move(tensor));
}

// fromData(device, dtype, shape, data)
napi_value from_data(Call& call) {
  const std::shared_ptr<Device> device = call.device_argument();
  const DType dtype = call.dtype("dtype");
  const Shape shape = call.shape("shape");
  const HostArray host = host_array(call, dtype);
  if (host.count != shape.count()) {
    call.fail(ErrorCode::kShapeMismatch, "data has %lld elements, but shape %s needs %lld", lld(host.count),
              shape.text().c_str(), lld(shape.count()));
  }
  Tensor tensor = make_tensor(device, dtype, shape, call.op());
  upload(call, tensor, host);
  call.environment().report_memory();
  return call.handle(std::move(tensor));
}

// write(tensor, data): replaces the contents
napi_value write(Call& call) {
  Tensor& tensor = call.row_major("tensor");
  upload(call, tensor, host_array(call, tensor.dtype));
  return call.nothing();
}

// view(shape, tensor, offset): the same memory from element `offset` on, under another shape
// Reads the type as which a view sees the bits of `whole`.
DType reinterpreted(Call& call, const Tensor& whole) {
  const DType dtype = call.dtype("dtype");
  if (size_of(dtype) != size_of(whole.dtype)) {
    call.fail(ErrorCode::kInvalidArgument, "dtype is %s, but must have as many bytes as the tensor's %s",
              name_of(dtype), name_of(whole.dtype));
  }
  // Checks of indices rely on contents that the host knows, which writes of another type would change.
  if (dtype != whole.dtype && whole.known_indices() != nullptr) {
    call.fail(ErrorCode::kInvalidArgument,
              "dtype is %s, but the tensor was uploaded as %s and can only be viewed as such", name_of(dtype),
              name_of(whole.dtype));
  }
  return dtype;
}

napi_value view(Call& call) {
  const Shape shape = call.shape("shape");
  const Tensor& whole = call.row_major("tensor");
  const int64_t offset = call.integer("offset", 0);
  if (offset > whole.shape.count() || shape.count() > whole.shape.count() - offset) {
    call.fail(ErrorCode::kShapeMismatch, "a view of shape %s from element %lld on does not fit in a tensor of shape %s",
              shape.text().c_str(), lld(offset), whole.shape.text().c_str());
  }
  Tensor part = whole;
  part.offset += offset * size_of(whole.dtype);
  part.shape = shape;
  if (call.present()) part.dtype = reinterpreted(call, whole);
  return call.handle(std::move(part));
}

// alias(tensor): another handle to the same tensor
napi_value alias(Call& call) {
  Tensor copy = call.tensor("tensor");
  return call.handle(std::move(copy));
}

napi_value dispose(Call& call) {
  if (!call.environment().tensors.erase(call.integer("tensor"))) {
    call.fail(ErrorCode::kInvalidHandle, "tensor was disposed or is not a tensor");
  }
  call.environment().report_memory();
  return call.nothing();
}

napi_value shape_of(Call& call) {
  const Shape shape = call.tensor("tensor").shape;
  const Napi::Array array = Napi::Array::New(call.env(), static_cast<size_t>(shape.rank));
  for (int i = 0; i < shape.rank; ++i) {
    set(array, static_cast<uint32_t>(i), Napi::Number::New(call.env(), static_cast<double>(shape.dims[i])));
  }
  return array;
}

napi_value dtype_of(Call& call) { return Napi::String::New(call.env(), name_of(call.tensor("tensor").dtype)); }

napi_value live_tensors(Call& call) {
  return Napi::Number::New(call.env(), static_cast<double>(call.environment().tensors.size()));
}

struct HostBuffer {
  napi_value value;
  void* data;
};

// Makes an ArrayBuffer by the built-in constructor, which throws where napi_create_arraybuffer would end the process.
HostBuffer array_buffer(const Call& call, size_t bytes) {
  HostBuffer made;
  const napi_value constructor = call.environment().array_buffer_class.Value();
  const napi_value size = Napi::Number::New(call.env(), static_cast<double>(bytes));
  if (napi_new_instance(call.env(), constructor, 1, &size, &made.value) != napi_ok) {
    catch_exception(call.env());
    call.fail(ErrorCode::kOutOfMemory, "out of memory: JavaScript cannot allocate an ArrayBuffer of %zu bytes", bytes);
  }
  size_t length = 0;
  const napi_status status = napi_get_arraybuffer_info(call.env(), made.value, &made.data, &length);
  if (status != napi_ok || length != bytes) call.fail(ErrorCode::kInternal, "ArrayBuffer is not the built-in class");
  return made;
}

// read(tensor): resolves to a typed array of the contents
napi_value read(Call& call) {
  const Tensor tensor = call.row_major("tensor");
  call.check_not_capturing(tensor.device());
  const HostBuffer buffer = array_buffer(call, static_cast<size_t>(tensor.bytes()));
  const auto kept = std::make_shared<Napi::ObjectReference>(Napi::Persistent(Napi::Object(call.env(), buffer.value)));
  const napi_typedarray_type type = tensor.dtype == DType::kFloat32 ? napi_float32_array
                                    : tensor.dtype == DType::kInt32 ? napi_int32_array
                                                                    : napi_uint16_array;
  return call.environment().promise(
      tensor.device().backend(),
      [kept, type, count = static_cast<size_t>(tensor.shape.count())](napi_env env) {
        napi_value array;
        check(napi_create_typedarray(env, type, count, kept->Value(), 0, &array));
        return array;
      },
      [&](Completion done) {
        tensor.device().backend().download(buffer.data, tensor.data(), tensor.bytes(), std::move(done));
      });
}

// fill(tensor, value)
napi_value fill(Call& call) {
  Tensor& tensor = call.row_major("tensor");
  if (tensor.dtype == DType::kInt32) {
    call.fail(ErrorCode::kDTypeMismatch, "tensor must be float32, bfloat16 or float16, but is int32");
  }
  tensor.device().backend().run(FillArgs{tensor.data(), tensor.shape.count(), call.finite("value"), tensor.dtype});
  return call.nothing();
}

// copyInto(out, in): the same dtype and number of elements
napi_value copy_into(Call& call) {
  Tensor& out = call.row_major("out");
  const Tensor& in = call.row_major("in");
  if (in.dtype != out.dtype) {
    call.fail(ErrorCode::kDTypeMismatch, "in is %s but out is %s", name_of(in.dtype), name_of(out.dtype));
  }
  if (in.shape.count() != out.shape.count()) {
    call.fail(ErrorCode::kShapeMismatch, "in is %s but out is %s; they must have the same number of elements",
              in.shape.text().c_str(), out.shape.text().c_str());
  }
  const int64_t distance = out.offset - in.offset;
  if (out.storage == in.storage && distance < in.bytes() && -distance < in.bytes()) {
    if (distance == 0) return call.nothing();
    call.fail(ErrorCode::kInvalidArgument, "out and in overlap in memory");
  }
  out.device().backend().run(CopyArgs{in.data(), out.data(), in.bytes()});
  out.storage->host_indices.clear();
  return call.nothing();
}

// cast(tensor, dtype): a copy in another floating dtype
napi_value cast(Call& call) {
  const Tensor& in = call.row_major("tensor");
  const DType dtype = call.dtype("dtype");
  if (in.dtype == DType::kInt32 || dtype == DType::kInt32) {
    call.fail(ErrorCode::kDTypeMismatch, "cannot cast %s to %s; dtypes must be float32, bfloat16 or float16",
              name_of(in.dtype), name_of(dtype));
  }
  Tensor out = call.output(dtype, in.shape);
  in.device().backend().run(CastArgs{in.data(), in.dtype, out.data(), dtype, in.shape.count()});
  return call.handle(std::move(out));
}

// timestamp(out, index): out[index] = microseconds of the device's clock, modulo 2^32, when the stream reaches this op
napi_value timestamp(Call& call) {
  Tensor& out = call.int32("out");
  const int64_t index = call.integer("index", 0, out.shape.count() - 1);
  out.device().backend().run(TimestampArgs{out.as<int32_t>() + index});
  out.storage->host_indices.clear();
  return call.nothing();
}

}  // namespace

const Exports kTensorExports = {
    {"empty", empty},      {"fromData", from_data},  {"write", write},
    {"view", view},        {"alias", alias},         {"dispose", dispose},
    {"shapeOf", shape_of}, {"dtypeOf", dtype_of},    {"liveTensors", live_tensors},
    {"read", read},        {"fill", fill},           {"copyInto", copy_into},
    {"cast", cast},        {"timestamp", timestamp},
};

}  // namespace foretoken
