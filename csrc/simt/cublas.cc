// A stand-in for cuBLAS, for device memory and streams of the emulator: the functions that csrc/cuda/host/cublas.cc
// calls, declared as in cublas_v2.h, with the errors that NVIDIA documents. It sums in float64, so that tests can
// distinguish its products from those of the kernels.
#include <algorithm>
#include <cstdint>
#include <cstring>

#include "csrc/simt/device_memory.h"
#include "csrc/simt/ptx.h"
#include "csrc/simt/runtime_stream.h"

namespace {

constexpr int kSuccess = 0, kNotInitialized = 1, kInvalidValue = 7, kExecutionFailed = 13, kNotSupported = 15;
constexpr int kTransposed = 1;
constexpr int kReal32 = 0, kReal16 = 2, kRealBFloat16 = 14;
constexpr int kCompute32 = 68;
constexpr int kPointerModeDevice = 1;

struct Handle {
  cudaStream_t stream = nullptr;
  void* workspace = nullptr;
  int math_mode = 0, pointer_mode = 0;
};

// A matrix stored by columns, which begin `stride` elements apart.
struct Stored {
  const void* data;
  int type;
  int64_t stride;
  bool transposed;

  double at(int64_t row, int64_t col) const {
    const int64_t i = transposed ? row * stride + col : col * stride + row;
    if (type == kReal32) return static_cast<double>(static_cast<const float*>(data)[i]);
    const uint16_t bits = static_cast<const uint16_t*>(data)[i];
    if (type == kReal16) return static_cast<double>(foretoken::simt::ptx::float_of_half(bits));
    const uint32_t wide = static_cast<uint32_t>(bits) << 16;
    float value;
    std::memcpy(&value, &wide, sizeof value);
    return static_cast<double>(value);
  }
};

void write(void* c, int type, int64_t i, double value) {
  const auto rounded = static_cast<float>(value);
  if (type == kReal32) static_cast<float*>(c)[i] = rounded;
  else if (type == kReal16) static_cast<uint16_t*>(c)[i] = foretoken::simt::ptx::half_of_float(rounded);
  else static_cast<uint16_t*>(c)[i] = foretoken::simt::ptx::bfloat16_of_float(rounded);
}

// Whether CUBLAS_COMPUTE_32F supports the types: operands of one type, and a result of that type or float32.
bool has(int a_type, int b_type, int c_type) {
  const bool known = a_type == kReal32 || a_type == kReal16 || a_type == kRealBFloat16;
  return known && a_type == b_type && (c_type == a_type || c_type == kReal32);
}

}  // namespace

#define CUBLAS_EXPORT extern "C" __attribute__((visibility("default"))) int

CUBLAS_EXPORT cublasCreate_v2(void** handle) {
  *handle = new Handle;
  return kSuccess;
}

CUBLAS_EXPORT cublasDestroy_v2(void* handle) {
  if (!handle) return kNotInitialized;
  delete static_cast<Handle*>(handle);
  return kSuccess;
}

CUBLAS_EXPORT cublasSetStream_v2(void* handle, cudaStream_t stream) {
  if (!handle) return kNotInitialized;
  static_cast<Handle*>(handle)->stream = stream;
  static_cast<Handle*>(handle)->workspace = nullptr;  // resets it to the library's own, as cuBLAS does
  return kSuccess;
}

CUBLAS_EXPORT cublasSetWorkspace_v2(void* handle, void* workspace, size_t) {
  if (!handle) return kNotInitialized;
  if (reinterpret_cast<uintptr_t>(workspace) % 256 != 0) return kInvalidValue;
  static_cast<Handle*>(handle)->workspace = workspace;
  return kSuccess;
}

CUBLAS_EXPORT cublasSetMathMode(void* handle, int mode) {
  if (!handle) return kNotInitialized;
  static_cast<Handle*>(handle)->math_mode = mode;
  return kSuccess;
}

CUBLAS_EXPORT cublasSetPointerMode_v2(void* handle, int mode) {
  if (!handle) return kNotInitialized;
  static_cast<Handle*>(handle)->pointer_mode = mode;
  return kSuccess;
}

// Computes c[m, n] = alpha op(a) op(b) + beta c, all stored by columns.
CUBLAS_EXPORT cublasGemmEx(void* handle, int operation_a, int operation_b, int m, int n, int k, const void* alpha,
                           const void* a, int a_type, int a_stride, const void* b, int b_type, int b_stride,
                           const void* beta, void* c, int c_type, int c_stride, int compute_type, int) {
  if (!handle) return kNotInitialized;
  const Handle& here = *static_cast<Handle*>(handle);
  const bool transposed_a = operation_a == kTransposed, transposed_b = operation_b == kTransposed;
  if (m < 0 || n < 0 || k < 0 || !alpha || !beta || !here.workspace || a_stride < std::max(1, transposed_a ? k : m) ||
      b_stride < std::max(1, transposed_b ? n : k) || c_stride < std::max(1, m)) {
    return kInvalidValue;
  }
  if (compute_type != kCompute32 || !has(a_type, b_type, c_type)) return kNotSupported;
  const bool on_device = here.pointer_mode == kPointerModeDevice;
  // Reads factors on the host now; the stream reads factors on the device when it runs the product.
  const float host_alpha = on_device ? 0 : *static_cast<const float*>(alpha);
  const float host_beta = on_device ? 0 : *static_cast<const float*>(beta);
  const auto run = [=](CUstream_st&) {
    const double scale = on_device ? *static_cast<const float*>(alpha) : host_alpha;
    const double kept = on_device ? *static_cast<const float*>(beta) : host_beta;
    const Stored left = {a, a_type, a_stride, transposed_a}, right = {b, b_type, b_stride, transposed_b};
    const Stored before = {c, c_type, c_stride, false};
    for (int64_t col = 0; col < n; ++col) {
      for (int64_t row = 0; row < m; ++row) {
        double sum = 0;
        for (int64_t i = 0; i < k && scale != 0; ++i) sum += left.at(row, i) * right.at(i, col);
        sum *= scale;
        if (kept != 0) sum += kept * before.at(row, col);
        write(c, c_type, col * c_stride + row, sum);
      }
      const size_t size = c_type == kReal32 ? sizeof(float) : sizeof(uint16_t);
      foretoken::simt::mark_written(static_cast<char*>(c) + static_cast<size_t>(col * c_stride) * size,
                                    static_cast<size_t>(m) * size);
    }
  };
  return foretoken::simt::enqueue(here.stream, run) == cudaSuccess ? kSuccess : kExecutionFailed;
}
