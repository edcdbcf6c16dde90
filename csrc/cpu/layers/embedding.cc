// Gathers the rows of a table by token, and adds the gradient of the table.
#include "csrc/cpu/indices.h"
#include "csrc/cpu/kernels.h"
#include "csrc/cpu/linear/gemm_dot.h"
#include "csrc/cpu/linear/pack.h"
#include "csrc/cpu/split.h"

namespace foretoken::cpu::FORETOKEN_ISA {

void run(const EmbeddingArgs& args, const Context& context) {
  const int64_t dim = args.dim;
  if (!indices_in_range(context, "embedding", "tokens", args.tokens, args.rows, args.vocab)) {
    map(context, args.rows * dim, as_floats(args.out), [] { return Vec{}; });
    return;
  }
  if (args.weight.layout == Layout::kDot) {
    split_rows(context, args.rows, dim, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        unpack_dot_column(args.weight, dim, args.tokens[r], as_floats(args.out) + r * dim);
      }
    });
    return;
  }
  with_type(args.weight.data, args.weight.dtype, [&](auto weight) {
    split_rows(context, args.rows, dim, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        map_range(
            0, dim, as_floats(args.out) + r * dim, [](Vec x) { return x; }, weight + args.tokens[r] * dim);
      }
    });
  });
}

int64_t workspace(const EmbeddingBackwardArgs&, const Context&) { return 0; }

// Every part owns some columns and adds the rows in order, so each sum has one order.
void run(const EmbeddingBackwardArgs& args, const Context& context) {
  const int64_t dim = args.dim;
  if (!indices_in_range(context, "embedding", "tokens", args.tokens, args.rows, args.vocab)) return;
  constexpr int64_t kFewestColumns = 64;
  const int64_t share = args.rows * dim <= kElementsOfPart ? dim : divide_up(dim, context.threads);
  const int64_t columns = larger(kFewestColumns, round_up(share, kFewestColumns));
  split(context, dim, columns, [&](int64_t begin, int64_t end) {
    for (int64_t r = 0; r < args.rows; ++r) {
      float* const out = args.grad_weight + args.tokens[r] * dim;
      map_range(
          begin, end, out, [](Vec sum, Vec grad) { return sum + grad; }, out, as_floats(args.grad_out) + r * dim);
    }
  });
}

}  // namespace foretoken::cpu::FORETOKEN_ISA
