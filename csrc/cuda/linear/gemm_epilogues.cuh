// The epilogues that write a matrix.
#pragma once

#include "csrc/cuda/error_record.h"
#include "csrc/cuda/linear/epilogue_hooks.cuh"
#include "csrc/cuda/linear/gemm_block.cuh"

namespace foretoken::cuda {

// y(i, j) = sum + bias[j], rounded to the type of y.
struct Store {
  void* y;
  DType dtype;                  // float32 or bfloat16
  int64_t stride;               // of y, in elements
  const float* bias = nullptr;  // [n]

  using Hooks = HookList<>;

  FORETOKEN_DEVICE bool wanted() const { return true; }

  template <typename Fragment>
  FORETOKEN_DEVICE void operator()(const Fragment& fragment) const {
    if (dtype == DType::kBFloat16) write(fragment, static_cast<BFloat16*>(y));
    else write(fragment, static_cast<float*>(y));
  }

 private:
  template <typename Fragment, typename T>
  FORETOKEN_DEVICE void write(const Fragment& fragment, T* to) const {
    const bool in_pairs = stride % 2 == 0 && reinterpret_cast<uintptr_t>(to) % (2 * sizeof(T)) == 0;
#pragma unroll
    for (int j = 0; j < Fragment::kCols; j += 2) {
      if (!fragment.has_col(j)) break;
      const bool both = fragment.has_col(j + 1);
      const float bias0 = bias ? bias[fragment.col(j)] : 0, bias1 = bias && both ? bias[fragment.col(j + 1)] : 0;
#pragma unroll
      for (int i = 0; i < Fragment::kRows; ++i) {
        if (!fragment.has_row(i)) break;
        const float pair[2] = {fragment.at(i, j) + bias0, fragment.at(i, j + 1) + bias1};
        T* const place = to + fragment.row(i) * stride + fragment.col(j);
        if (both && in_pairs) {
          store<2>(place, pair);
        } else {
          place[0] = from_float<T>(pair[0]);
          if (both) place[1] = from_float<T>(pair[1]);
        }
      }
    }
  }
};

// y(i, j) += sum, in float32; does nothing if an earlier operation has reported an error.
struct AddTo {
  float* y;
  int64_t stride;
  const ErrorRecord* record;

  using Hooks = HookList<>;

  FORETOKEN_DEVICE bool wanted() const { return !has_error(record); }

  template <typename Fragment>
  FORETOKEN_DEVICE void operator()(const Fragment& fragment) const {
    const bool in_pairs = stride % 2 == 0 && reinterpret_cast<uintptr_t>(y) % 8 == 0;
#pragma unroll
    for (int i = 0; i < Fragment::kRows; ++i) {
      if (!fragment.has_row(i)) break;
#pragma unroll
      for (int j = 0; j < Fragment::kCols; j += 2) {
        if (!fragment.has_col(j)) break;
        float* const place = y + fragment.row(i) * stride + fragment.col(j);
        if (in_pairs && fragment.has_col(j + 1)) {
          float pair[2];
          load<2>(place, pair);
          pair[0] += fragment.at(i, j);
          pair[1] += fragment.at(i, j + 1);
          store<2>(place, pair);
        } else {
          place[0] += fragment.at(i, j);
          if (fragment.has_col(j + 1)) place[1] += fragment.at(i, j + 1);
        }
      }
    }
  }
};

}  // namespace foretoken::cuda
