// Rotary positions (Su et al. 2021): rotates element i of the first half of a head's rotated dimensions together with
// element i of their second half, by the angle for i and the row's position.
#include "csrc/cpu/indices.h"
#include "csrc/cpu/kernels.h"
#include "csrc/cpu/split.h"

namespace foretoken::cpu::FORETOKEN_ISA {

void run(const RopeArgs& args, const Context& context) {
  const int64_t half = args.rotated_dim / 2, dim = args.heads * args.head_dim;
  if (!indices_in_range(context, "rope", "positions", args.positions, args.rows, args.max_positions)) {
    map(context, args.rows * dim, as_floats(args.y), [] { return Vec{}; });
    return;
  }
  const Vec sign = broadcast(args.inverse ? -1.0f : 1.0f);
  const auto turn_first = [=](Vec first, Vec second, Vec cos, Vec sin) { return first * cos - second * (sign * sin); };
  const auto turn_second = [=](Vec first, Vec second, Vec cos, Vec sin) { return second * cos + first * (sign * sin); };
  split_rows(context, args.rows, dim, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float *const x = as_floats(args.x) + r * dim, *const cos =
                                                              args.table + args.positions[r] * args.rotated_dim;
      float* const y = as_floats(args.y) + r * dim;
      const int64_t rotated = args.rotated_heads * args.head_dim;
      for (int64_t i = 0; i < rotated; i += args.head_dim) {
        map_range(0, half, y + i, turn_first, x + i, x + i + half, cos, cos + half);
        map_range(0, half, y + i + half, turn_second, x + i, x + i + half, cos, cos + half);
        copy_floats(y + i + 2 * half, x + i + 2 * half, args.head_dim - 2 * half);
      }
      copy_floats(y + rotated, x + rotated, dim - rotated);
    }
  });
}

}  // namespace foretoken::cpu::FORETOKEN_ISA
