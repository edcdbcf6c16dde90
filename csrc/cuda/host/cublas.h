// Optional cuBLAS for large products: the first one looks for the library, and without it the project's own kernels
// run.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "csrc/core/dtype.h"
#include "csrc/cuda/error_record.h"

namespace foretoken::cuda {

// A matrix in memory, [outer, k] if k_inner, otherwise [k, outer], with rows `stride` elements apart.
struct CublasOperand {
  const void* data;
  DType dtype;
  int64_t stride;
  bool k_inner;
};

// c(i, j) = Σ_k a(i, k) b(j, k), summed in float32.
struct CublasProduct {
  int64_t m, n, k;
  CublasOperand a, b;
  void* c;
  DType c_dtype;
  int64_t c_stride;
  bool accumulate;  // c += instead; c stays as it is if an earlier operation has reported an error
};

class Cublas {
 public:
  Cublas(int compute_capability, const ErrorRecord* record);
  ~Cublas();
  Cublas(const Cublas&) = delete;
  Cublas& operator=(const Cublas&) = delete;

  // Enqueues the product and returns true; returns false if there is no cuBLAS or it has no such product. Throws an
  // Error that names `op` if cuBLAS fails, or if FORETOKEN_CUBLAS names a library that does not load.
  bool multiply(const CublasProduct& product, cudaStream_t stream, const char* op);

 private:
  struct Functions;
  // The files that may be cuBLAS, in order of preference.
  struct Candidates {
    std::vector<std::string> files;
    bool must_load;  // true if FORETOKEN_CUBLAS names the only one
  };

  static Candidates candidates();
  void open(cudaStream_t stream, const char* op);
  void close();

  const int compute_capability_;
  const ErrorRecord* const record_;
  const Candidates candidates_;
  bool looked_for_ = false;
  std::unique_ptr<Functions> functions_;  // null without cuBLAS
  void* handle_ = nullptr;
  void* workspace_ = nullptr;
};

}  // namespace foretoken::cuda
