// Rotary positions (Su et al. 2021): rotates the pair of element i of a head's first half and element i of its second
// half by the angle of the row's position.
#include "csrc/cuda/common/rows.cuh"
#include "csrc/cuda/kernels.h"

namespace foretoken::cuda {
namespace {

// A column is a pair of elements; the pairs of a row are counted head after head. Rows with an invalid position become
// zeros.
template <typename T>
struct Rope {
  RopeArgs args;
  Reporter reporter;

  template <int N>
  FORETOKEN_DEVICE void at(int64_t row, int64_t column) const {
    const int64_t half = args.head_dim / 2, head = column / half, pair = column % half, position = args.positions[row];
    const int64_t offset = (row * args.heads + head) * args.head_dim + pair;
    const T* const x = static_cast<const T*>(args.x) + offset;
    T* const y = static_cast<T*>(args.y) + offset;
    float first[N] = {}, second[N] = {};
    if (reporter.check(Argument::kPositions, row, position, 0, args.max_positions - 1)) {
      load_columns<(N > 1)>(x, 0, 1, first);
      load_columns<(N > 1)>(x, half, half + 1, second);
      if (head < args.rotated_heads) turn(args.table + position * args.head_dim + pair, first, second);
    }
    store_columns<(N > 1)>(y, 0, 1, first);
    store_columns<(N > 1)>(y, half, half + 1, second);
  }

 private:
  template <int N>
  FORETOKEN_DEVICE void turn(const float* table, float (&first)[N], float (&second)[N]) const {
    const int64_t half = args.head_dim / 2;
    float cosine[N], sine[N];
    load_columns<(N > 1)>(table, 0, 1, cosine);
    load_columns<(N > 1)>(table, half, half + 1, sine);
#pragma unroll
    for (int i = 0; i < N; ++i) {
      const float a = first[i], b = second[i], s = args.inverse ? -sine[i] : sine[i];
      first[i] = fmaf(a, cosine[i], -(b * s));
      second[i] = fmaf(b, cosine[i], a * s);
    }
  }
};

}  // namespace

void run(const RopeArgs& args, const Context& context) {
  with_activations(args.dtype, [&](auto type) {
    using T = decltype(type);
    constexpr int kWidth = 16 / sizeof(T);
    const int64_t half = args.head_dim / 2, bytes = static_cast<int64_t>(sizeof(T));
    const bool fit = half % kWidth == 0 && vectors_fit({args.x, args.y, args.table}, {half * bytes});
    for_rows<kWidth>(context, args.rows, args.heads * half, fit, Rope<T>{args, context.reporter()});
  });
}

}  // namespace foretoken::cuda
