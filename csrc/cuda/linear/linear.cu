// Linear layers: y = x W^T + b and its two gradients, each one matrix product.
#include "csrc/cuda/common/column_sums.cuh"
#include "csrc/cuda/kernels.h"
#include "csrc/cuda/linear/gemm_cublas.h"
#include "csrc/cuda/linear/gemm_skinny.cuh"
#include "csrc/cuda/linear/gemm_split.cuh"

namespace foretoken::cuda {
namespace {

// Up to this many rows, a row of y has the same bits whatever other rows there are.
constexpr int64_t kDecodingRows = 256;

}  // namespace

void run(const PackWeightArgs&, const Context& context) {
  throw make_error(ErrorCode::kInternal, "%s: this backend reads weights as they are", context.op);
}

int64_t workspace(const LinearArgs&, const Context&) { return 0; }

void run(const LinearArgs& args, const Context& context) {
  const Gemm gemm = {.m = args.m,
                     .n = args.n,
                     .k = args.k,
                     .a = {args.x, args.dtype, args.k},
                     .b = {args.weight.data, args.weight.dtype, args.k}};
  const Store store{args.y, args.y_dtype, args.n, args.bias};
  if (args.m <= kDecodingRows) return multiply_rows(context, gemm, store);
  if (!multiply_with_cublas<Form::kNT>(context, gemm, store)) multiply<Form::kNT>(context, gemm, store);
}

int64_t workspace(const LinearBackwardInputArgs&, const Context&) { return 0; }

void run(const LinearBackwardInputArgs& args, const Context& context) {
  const Gemm gemm = {.m = args.m,
                     .n = args.k,
                     .k = args.n,
                     .a = {args.grad_y, args.dtype, args.n},
                     .b = {args.weight.data, args.weight.dtype, args.k}};
  const Store store{args.grad_x, args.dtype, args.k};
  if (!multiply_with_cublas<Form::kNN>(context, gemm, store)) multiply<Form::kNN>(context, gemm, store);
}

int64_t workspace(const LinearBackwardWeightArgs& args, const Context&) {
  return split_workspace(args.n, args.k, args.m);
}

void run(const LinearBackwardWeightArgs& args, const Context& context) {
  const Gemm gemm = {
      .m = args.n, .n = args.k, .k = args.m, .a = {args.grad_y, args.dtype, args.n}, .b = {args.x, args.dtype, args.k}};
  const AddTo add{args.grad_weight, args.k, context.record};
  if (!multiply_with_cublas<Form::kTN>(context, gemm, add)) {
    multiply_split<Form::kTN>(context, gemm, add, args.workspace.data);
  }
  if (args.grad_bias == nullptr) return;
  with_activations(args.dtype, [&](auto type) {
    add_column_sums(context, static_cast<const decltype(type)*>(args.grad_y), args.m, args.n, args.n, args.grad_bias);
  });
}

}  // namespace foretoken::cuda
