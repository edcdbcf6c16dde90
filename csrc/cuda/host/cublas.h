// cuBLAS for large products, where there is one: it is looked for when the first of them comes, and nothing needs it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "csrc/core/dtype.h"
#include "csrc/cuda/error_record.h"

namespace foretoken::cuda {

// A matrix as it lies in memory, [outer, k] or [k, outer], its rows `stride` elements apart.
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
  bool accumulate;  // c += instead, but where an operation before has failed c stays
};

class Cublas {
 public:
  Cublas(int compute_capability, const ErrorRecord* record);
  ~Cublas();
  Cublas(const Cublas&) = delete;
  Cublas& operator=(const Cublas&) = delete;

  // Enqueues the product and says so, unless there is no cuBLAS or it has no such product. Throws Error that names `op`
  // where cuBLAS fails, and where FORETOKEN_CUBLAS names a library that does not load.
  bool multiply(const CublasProduct& product, cudaStream_t stream, const char* op);

 private:
  struct Functions;
  // The files that may be it, the most wanted first.
  struct Candidates {
    std::vector<std::string> files;
    bool must_load;  // because a person named the only one
  };

  static Candidates candidates();
  void open(cudaStream_t stream, const char* op);
  void close();

  const int compute_capability_;
  const ErrorRecord* const record_;
  const Candidates candidates_;
  bool looked_for_ = false;
  std::unique_ptr<Functions> functions_;  // null where there is none
  void* handle_ = nullptr;
  void* workspace_ = nullptr;
};

}  // namespace foretoken::cuda
