// Rotary positions (Su et al. 2021): rotates the pair of element i of the first half of a head's rotated dimensions and
// element i of their second half by the angle of the row's position.
#include "csrc/cuda/common/rows.cuh"
#include "csrc/cuda/kernels.h"

namespace foretoken::cuda {
namespace {

// A column is a pair of elements, or an element of the dimensions that are not rotated; the columns of a row are counted
// head after head, pairs first. Rows with an invalid position become zeros.
template <typename T>
struct Rope {
  RopeArgs args;
  Reporter reporter;

  template <int N>
  FORETOKEN_DEVICE void at(int64_t row, int64_t column) const {
    const int64_t half = args.rotated_dim / 2, columns = args.head_dim - half;
    const int64_t head = column / columns, at = column % columns, position = args.positions[row];
    const bool is_valid = reporter.check(Argument::kPositions, row, position, 0, args.max_positions - 1);
    const int64_t offset = (row * args.heads + head) * args.head_dim;
    const T* const x = static_cast<const T*>(args.x) + offset;
    T* const y = static_cast<T*>(args.y) + offset;
    float first[N] = {}, second[N] = {};
    if (at >= half) {
      if (is_valid) load_columns<(N > 1)>(x, half + at, args.head_dim, first);
      store_columns<(N > 1)>(y, half + at, args.head_dim, first);
      return;
    }
    if (is_valid) {
      load_columns<(N > 1)>(x, at, half, first);
      load_columns<(N > 1)>(x, half + at, args.head_dim, second);
      if (head < args.rotated_heads) turn(args.table + position * args.rotated_dim + at, first, second);
    }
    store_columns<(N > 1)>(y, at, half, first);
    store_columns<(N > 1)>(y, half + at, args.head_dim, second);
  }

 private:
  template <int N>
  FORETOKEN_DEVICE void turn(const float* table, float (&first)[N], float (&second)[N]) const {
    const int64_t half = args.rotated_dim / 2;
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
    const int64_t half = args.rotated_dim / 2, bytes = static_cast<int64_t>(sizeof(T));
    const bool fit =
        half % kWidth == 0 && vectors_fit({args.x, args.y, args.table}, {half * bytes, args.head_dim * bytes});
    for_rows<kWidth>(context, args.rows, args.heads * (args.head_dim - half), fit, Rope<T>{args, context.reporter()});
  });
}

}  // namespace foretoken::cuda
