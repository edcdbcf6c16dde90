// Linear layers: y = x W^T + b and its two gradients, each one call of the GEMM.
#include "csrc/cpu/kernels.h"
#include "csrc/cpu/linear/gemm.h"
#include "csrc/cpu/linear/gemm_dot.h"
#include "csrc/cpu/sizes.h"

namespace foretoken::cpu::FORETOKEN_ISA {
namespace {

int64_t scratch_bytes(const Context& context, int64_t m, int64_t k) {
  return bytes_of<float>(context.threads * gemm_scratch(m, k));
}

float* scratch(const Workspace& workspace) { return static_cast<float*>(workspace.data); }

}  // namespace

int64_t packed_bytes(int64_t n, int64_t k, DType dtype, Layout layout) {
  return layout == Layout::kDot ? dot_panel_bytes(n, k, dtype) : panel_bytes(n, k, dtype);
}

void run(const PackWeightArgs& args, const Context& context) {
  if (args.layout == Layout::kDot) {
    pack_dot_panels(context, args.weight, args.n, args.k, args.dtype, args.out);
  } else {
    pack_panels(context, args.weight, args.n, args.k, args.out);
  }
}

int64_t workspace(const LinearArgs& args, const Context& context) {
  const int64_t floats = gemm_scratch(args.m, args.k, transposed(args.weight, args.k));
  return bytes_of<float>(context.threads * floats);
}

void run(const LinearArgs& args, const Context& context) {
  const Gemm gemm = {.m = args.m,
                     .n = args.n,
                     .k = args.k,
                     .a = {args.x, DType::kFloat32, args.k, 1},
                     .b = transposed(args.weight, args.k),
                     .c = as_floats(args.y),
                     .c_stride = args.n,
                     .bias = args.bias};
  multiply(context, gemm, scratch(args.workspace));
}

int64_t workspace(const LinearBackwardInputArgs& args, const Context& context) {
  return scratch_bytes(context, args.m, args.n);
}

void run(const LinearBackwardInputArgs& args, const Context& context) {
  const Gemm gemm = {.m = args.m,
                     .n = args.k,
                     .k = args.n,
                     .a = {args.grad_y, DType::kFloat32, args.n, 1},
                     .b = as_is(args.weight, args.k),
                     .c = as_floats(args.grad_x),
                     .c_stride = args.k};
  multiply(context, gemm, scratch(args.workspace));
}

int64_t workspace(const LinearBackwardWeightArgs& args, const Context& context) {
  return scratch_bytes(context, args.n, args.m);
}

void run(const LinearBackwardWeightArgs& args, const Context& context) {
  const Gemm gemm = {.m = args.n,
                     .n = args.k,
                     .k = args.m,
                     .a = {args.grad_y, DType::kFloat32, 1, args.n},
                     .b = {args.x, DType::kFloat32, args.k, 1},
                     .c = args.grad_weight,
                     .c_stride = args.k,
                     .accumulate = true};
  multiply(context, gemm, scratch(args.workspace));
  if (args.grad_bias) add_column_sums(context, as_floats(args.grad_y), args.m, args.n, args.n, args.grad_bias);
}

}  // namespace foretoken::cpu::FORETOKEN_ISA
