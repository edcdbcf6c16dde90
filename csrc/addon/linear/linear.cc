// Linear layers: packing a weight, the product and its gradients.
#include "csrc/addon/families.h"

namespace foretoken {

namespace {

struct LinearShape {
  int64_t m, n, k;
};

// x [..., k], weight [n, k]
LinearShape linear_shape(const Call& call, const Tensor& x, const Tensor& weight) {
  call.check_rank(x, "x", 1, kMaxRank);
  call.check_rank(weight, "weight", 2);
  if (x.shape[-1] != weight.shape[1]) {
    call.fail(ErrorCode::kShapeMismatch, "x is %s but weight is %s; the last dimensions must match",
              x.shape.text().c_str(), weight.shape.text().c_str());
  }
  return {x.shape.rows(), weight.shape[0], weight.shape[1]};
}

// packWeight(weight, dtype?): the weight in the layout that `linear` reads fastest, or an alias if that is row-major;
// with a dtype, in the dot format of that type
napi_value pack_weight(Call& call) {
  const Tensor& weight = call.floating("weight");
  const bool is_dot = call.present();
  const DType dot_dtype = is_dot ? call.dot_dtype("dtype") : DType::kFloat32;
  call.check_rank(weight, "weight", 2);
  if (weight.layout != Layout::kRowMajor) call.fail(ErrorCode::kUnsupported, "weight is already packed");
  Backend& backend = call.device().backend();
  if (is_dot && !packs(backend, dot_dtype)) {
    call.fail(ErrorCode::kUnsupported, "dtype is %s, but this device (%s) does not multiply weights in that type",
              name_of(dot_dtype), backend.kind());
  }
  PackWeightArgs args{weight.matrix(),
                      nullptr,
                      weight.shape[0],
                      weight.shape[1],
                      is_dot ? dot_dtype : weight.dtype,
                      is_dot ? Layout::kDot : Layout::kPanels};
  const int64_t bytes = backend.packed_bytes(args.n, args.k, args.dtype, args.layout);
  if (bytes == 0 && weight.shape.count() > 0) return call.handle(weight);
  Tensor packed;
  packed.shape = weight.shape;
  packed.dtype = args.dtype;
  packed.layout = args.layout;
  packed.storage = std::make_shared<Storage>(call.shared_device(), bytes, call.op());
  if (weight.shape.count() > 0) {
    args.out = packed.data();
    backend.run(args);
  }
  return call.handle(std::move(packed));
}

// Rows that are packed together begin at multiples of this number, which the height of every panel divides.
constexpr int64_t kPackedRows = 64;

// packedZeros(device, shape, dtype): a matrix of zeros in the dot format of that type
napi_value packed_zeros(Call& call) {
  const std::shared_ptr<Device> device = call.device_argument();
  Tensor packed;
  packed.shape = call.shape("shape");
  packed.dtype = call.dot_dtype("dtype");
  packed.layout = Layout::kDot;
  call.check_rank(packed, "shape", 2);
  Backend& backend = device->backend();
  if (!packs(backend, packed.dtype)) {
    call.fail(ErrorCode::kUnsupported, "dtype is %s, but this device (%s) does not multiply weights in that type",
              name_of(packed.dtype), backend.kind());
  }
  const int64_t bytes = backend.packed_bytes(packed.shape[0], packed.shape[1], packed.dtype, packed.layout);
  packed.storage = std::make_shared<Storage>(device, bytes, call.op());
  call.environment().report_memory();
  // In every dot format zero bytes are zeros, of either sign.
  if (bytes > 0) backend.run(FillArgs{packed.data(), bytes / int64_t{sizeof(float)}, 0, DType::kFloat32});
  return call.handle(std::move(packed));
}

// packRows(packed, firstRow, rows): packs rows in the place of those of `packed` from firstRow on
napi_value pack_rows(Call& call) {
  Tensor& packed = call.weight("packed");
  if (packed.layout != Layout::kDot) call.fail(ErrorCode::kInvalidArgument, "packed is not packed with a dtype");
  const int64_t total = packed.shape[0];
  const int64_t k = packed.shape[1];
  const int64_t first = call.integer("firstRow", 0, total);
  const Tensor& rows = call.floating("rows");
  call.check_rank(rows, "rows", 2);
  const int64_t n = rows.shape[0];
  if (rows.layout != Layout::kRowMajor) call.fail(ErrorCode::kUnsupported, "rows is already packed");
  if (rows.shape[1] != k || n > total - first) {
    call.fail(ErrorCode::kShapeMismatch, "rows is %s, but from row %lld on packed has [%lld, %lld]",
              rows.shape.text().c_str(), lld(first), lld(total - first), lld(k));
  }
  if (first % kPackedRows != 0 || (n % kPackedRows != 0 && first + n != total)) {
    call.fail(ErrorCode::kInvalidArgument,
              "firstRow and the end of rows must be multiples of %lld or the end of packed", lld(kPackedRows));
  }
  if (rows.shape.count() > 0) {
    Backend& backend = call.device().backend();
    char* const begin = static_cast<char*>(packed.data());
    const int64_t before = first > 0 ? backend.packed_bytes(first, k, packed.dtype, packed.layout) : 0;
    backend.run(PackWeightArgs{rows.matrix(), begin + before, n, k, packed.dtype, packed.layout});
  }
  return call.nothing();
}

// linear(x, weight, bias?, outDtype?): outDtype defaults to the dtype of x
napi_value linear(Call& call) {
  const Tensor& x = call.activations("x");
  const Tensor& weight = call.weight("weight");
  const Tensor* const bias = call.optional_float32("bias");
  const auto [m, n, k] = linear_shape(call, x, weight);
  if (bias != nullptr) call.check_shape(*bias, "bias", {n});
  const DType y_dtype = call.activation_dtype("outDtype", x.dtype);
  if (y_dtype != x.dtype && y_dtype != DType::kFloat32) {
    call.fail(ErrorCode::kDTypeMismatch, "outDtype must be float32 or the dtype of x, which is %s, but is %s",
              name_of(x.dtype), name_of(y_dtype));
  }
  Tensor y = call.output(y_dtype, x.shape.with_last(n));
  if (y.shape.count() > 0) {
    run_with_workspace(
        call.device(),
        LinearArgs{
            x.data(), weight.matrix(), bias ? bias->as<float>() : nullptr, y.data(), m, n, k, x.dtype, y_dtype, {}},
        call.op());
  }
  return call.handle(std::move(y));
}

// linearBackwardInput(gradY, weight): gradX
napi_value linear_backward_input(Call& call) {
  const Tensor& grad_y = call.activations("gradY");
  const Tensor& weight = call.row_major("weight");
  call.check_rank(weight, "weight", 2);
  call.check_rank(grad_y, "gradY", 1, kMaxRank);
  const int64_t n = weight.shape[0];
  const int64_t k = weight.shape[1];
  call.check_shape(grad_y, "gradY", grad_y.shape.with_last(n));
  if (weight.dtype == DType::kInt32) {
    call.fail(ErrorCode::kDTypeMismatch, "weight must be float32, bfloat16 or float16, but is int32");
  }
  Tensor grad_x = call.output(grad_y.dtype, grad_y.shape.with_last(k));
  if (grad_x.shape.count() > 0) {
    run_with_workspace(call.device(),
                       LinearBackwardInputArgs{
                           grad_y.data(), weight.matrix(), grad_x.data(), grad_y.shape.rows(), n, k, grad_y.dtype, {}},
                       call.op());
  }
  return call.handle(std::move(grad_x));
}

// linearBackwardWeight(gradY, x, gradWeight, gradBias?): adds to gradWeight and gradBias
napi_value linear_backward_weight(Call& call) {
  const Tensor& grad_y = call.activations("gradY");
  const Tensor& x = call.activations("x");
  Tensor& grad_weight = call.float32("gradWeight");
  Tensor* const grad_bias = call.optional_float32("gradBias");
  const auto [m, n, k] = linear_shape(call, x, grad_weight);
  call.check_shape(grad_y, "gradY", x.shape.with_last(n));
  if (grad_bias != nullptr) call.check_shape(*grad_bias, "gradBias", {n});
  if (m > 0 && n > 0) {
    run_with_workspace(call.device(),
                       LinearBackwardWeightArgs{grad_y.data(),
                                                x.data(),
                                                grad_weight.as<float>(),
                                                grad_bias ? grad_bias->as<float>() : nullptr,
                                                m,
                                                n,
                                                k,
                                                x.dtype,
                                                {}},
                       call.op());
  }
  return call.nothing();
}

}  // namespace

const Exports kLinearExports = {
    {"packWeight", pack_weight},
    {"packedZeros", packed_zeros},
    {"packRows", pack_rows},
    {"linear", linear},
    {"linearBackwardInput", linear_backward_input},
    {"linearBackwardWeight", linear_backward_weight},
};

}  // namespace foretoken
