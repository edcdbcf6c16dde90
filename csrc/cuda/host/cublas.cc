// Finds cuBLAS at run time and calls it through function pointers: nothing here links to it or needs its headers.
#include "csrc/cuda/host/cublas.h"

#include <dlfcn.h>

#include <climits>
#include <cstdlib>
#include <type_traits>
#include <utility>

#include "csrc/cuda/context.h"

#ifdef FORETOKEN_EMULATED
#include "csrc/simt/options.h"
#endif

namespace foretoken::cuda {

namespace {

// The values of cublas_v2.h and library_types.h, which this machine may lack.
enum [[nodiscard]] Status{kSuccess = 0, kAllocationFailed = 3};
enum Operation { kAsItIs = 0, kTransposed = 1 };
enum PointerMode { kOnHost = 0, kOnDevice = 1 };
enum DataType { kReal32 = 0, kReal16 = 2, kRealBFloat16 = 14 };
constexpr int kCompute32 = 68, kDefaultAlgorithm = -1;
// Keeps cuBLAS from rounding the sums of slices of k to bfloat16 or float16 before it adds them.
constexpr int kNoReducedReduction = 16;

const char* name_of(Status status) {
  switch (static_cast<int>(status)) {
    case 1: return "CUBLAS_STATUS_NOT_INITIALIZED";
    case kAllocationFailed: return "CUBLAS_STATUS_ALLOC_FAILED";
    case 7: return "CUBLAS_STATUS_INVALID_VALUE";
    case 8: return "CUBLAS_STATUS_ARCH_MISMATCH";
    case 11: return "CUBLAS_STATUS_MAPPING_ERROR";
    case 13: return "CUBLAS_STATUS_EXECUTION_FAILED";
    case 14: return "CUBLAS_STATUS_INTERNAL_ERROR";
    case 15: return "CUBLAS_STATUS_NOT_SUPPORTED";
    case 16: return "CUBLAS_STATUS_LICENSE_ERROR";
    default: return "a status that foretoken does not know";
  }
}

int data_type_of(DType dtype) {
  return dtype == DType::kBFloat16 ? kRealBFloat16 : dtype == DType::kFloat16 ? kReal16 : kReal32;
}

void check_cublas(Status status, const char* op, const char* call) {
  if (status == kSuccess) return;
  const ErrorCode code = status == kAllocationFailed ? ErrorCode::kOutOfMemory : ErrorCode::kInternal;
  throw make_error(code, "%s: %s failed with %s (%d)", op, call, name_of(status), status);
}

void discard(Status, [[maybe_unused]] const char* reason) {}

// Whether cuBLAS has this product: both operands of one type, and sizes that fit into an int.
bool has(const CublasProduct& product) {
  for (const int64_t size : {product.m, product.n, product.k, product.a.stride, product.b.stride, product.c_stride}) {
    if (size <= 0 || size > INT_MAX) return false;
  }
  return product.a.dtype == product.b.dtype &&
         (product.c_dtype == product.a.dtype || product.c_dtype == DType::kFloat32);
}

}  // namespace

struct Cublas::Functions {
  Status (*create)(void** handle);
  Status (*destroy)(void* handle);
  Status (*set_stream)(void* handle, cudaStream_t stream);
  Status (*set_workspace)(void* handle, void* workspace, size_t bytes);
  Status (*set_math_mode)(void* handle, int mode);
  Status (*set_pointer_mode)(void* handle, int mode);
  Status (*gemm)(void* handle, int operation_a, int operation_b, int m, int n, int k, const void* alpha, const void* a,
                 int a_type, int a_stride, const void* b, int b_type, int b_stride, const void* beta, void* c,
                 int c_type, int c_stride, int compute_type, int algorithm);

  // Returns null if no candidate is cuBLAS.
  static std::unique_ptr<Functions> find(const Candidates& candidates, const char* op) {
    for (const std::string& file : candidates.files) {
      auto functions = std::make_unique<Functions>();
      // Never unloaded: the library has threads and handlers of its own.
      void* const library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
      if (library && functions->load(library)) return functions;
      if (candidates.must_load) {
        const char* const reason = library ? "it lacks functions of cuBLAS" : dlerror();
        throw make_error(ErrorCode::kUnsupported, "%s: FORETOKEN_CUBLAS is %s, which does not load: %s", op,
                         file.c_str(), reason);
      }
    }
    return nullptr;
  }

 private:
  bool load(void* library) {
    const auto take = [&](auto& function, const char* name) {
      function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(library, name));
      return function != nullptr;
    };
    return take(create, "cublasCreate_v2") && take(destroy, "cublasDestroy_v2") &&
           take(set_stream, "cublasSetStream_v2") && take(set_workspace, "cublasSetWorkspace_v2") &&
           take(set_math_mode, "cublasSetMathMode") && take(set_pointer_mode, "cublasSetPointerMode_v2") &&
           take(gemm, "cublasGemmEx");
  }
};

Cublas::Candidates Cublas::candidates() {
#ifdef FORETOKEN_EMULATED
  // The real cuBLAS would take the emulator's memory for a GPU's, so csrc/simt has a stand-in.
  Dl_info self;
  if (!simt::configured().cublas || dladdr(reinterpret_cast<void*>(&candidates), &self) == 0) return {{}, false};
  return {{self.dli_fname}, true};
#else
  if (const char* path = std::getenv("FORETOKEN_CUBLAS"); path && *path) return {{path}, true};
  std::vector<std::string> files;
  const char* const home = std::getenv("CUDA_HOME");
  for (const std::string name : {"libcublas.so.13", "libcublas.so.12"}) {
    files.push_back(name);
    if (home && *home) files.push_back(std::string(home) + "/lib64/" + name);
  }
  return {std::move(files), false};
#endif
}

Cublas::Cublas(int compute_capability, const ErrorRecord* record)
    : compute_capability_(compute_capability), record_(record), candidates_(candidates()) {}

Cublas::~Cublas() { close(); }

// Sets up everything or, if a step fails, nothing: a handle without its stream would multiply out of order.
void Cublas::open(cudaStream_t stream, const char* op) {
  // The size that NVIDIA recommends. With this workspace cuBLAS allocates no memory in a captured stream.
  const size_t bytes = compute_capability_ >= 90 ? size_t{32} << 20 : size_t{8} << 20;
  try {
    check_cublas(functions_->create(&handle_), op, "cublasCreate");
    check(cudaMalloc(&workspace_, bytes), "cudaMalloc");
    // Setting the stream resets the workspace, so the stream comes first.
    check_cublas(functions_->set_stream(handle_, stream), op, "cublasSetStream");
    check_cublas(functions_->set_workspace(handle_, workspace_, bytes), op, "cublasSetWorkspace");
    check_cublas(functions_->set_math_mode(handle_, kNoReducedReduction), op, "cublasSetMathMode");
  } catch (...) {
    close();
    throw;
  }
}

void Cublas::close() {
  if (void* const handle = std::exchange(handle_, nullptr)) {
    discard(functions_->destroy(handle), "it is not used again");
  }
  if (void* const workspace = std::exchange(workspace_, nullptr)) {
    discard(cudaFree(workspace), "nothing uses it any more");
  }
}

bool Cublas::multiply(const CublasProduct& product, cudaStream_t stream, const char* op) {
  if (!has(product)) return false;
  if (!looked_for_) functions_ = Functions::find(candidates_, op);
  looked_for_ = true;
  if (!functions_) return false;
  if (!handle_) open(stream, op);
  // cuBLAS stores matrices by columns: it computes C^T, so b is its first operand, and operands stored as [k, outer]
  // are not transposed.
  const auto &a = product.b, &b = product.a;
  const float one = 1, zero = 0;
  const void* const alpha = product.accumulate ? &record_->one_without_error : &one;
  const void* const beta = product.accumulate ? &record_->one : &zero;
  check_cublas(functions_->set_pointer_mode(handle_, product.accumulate ? kOnDevice : kOnHost), op,
               "cublasSetPointerMode");
  check_cublas(
      functions_->gemm(handle_, a.k_inner ? kTransposed : kAsItIs, b.k_inner ? kAsItIs : kTransposed,
                       static_cast<int>(product.n), static_cast<int>(product.m), static_cast<int>(product.k), alpha,
                       a.data, data_type_of(a.dtype), static_cast<int>(a.stride), b.data, data_type_of(b.dtype),
                       static_cast<int>(b.stride), beta, product.c, data_type_of(product.c_dtype),
                       static_cast<int>(product.c_stride), kCompute32, kDefaultAlgorithm),
      op, "cublasGemmEx");
  return true;
}

}  // namespace foretoken::cuda
