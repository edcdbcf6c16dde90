// The largest entries of each row, in descending order; ties go to the lowest index, and NaN ranks like -inf.
#include "csrc/cpu/kernels.h"
#include "csrc/cpu/sampling/best_entries.h"

namespace foretoken::cpu::FORETOKEN_ISA {

int64_t workspace(const TopKArgs& args, const Context&) {
  return args.values ? 0 : bytes_of<float>(args.rows * args.k);
}

void run(const TopKArgs& args, const Context& context) {
  constexpr int64_t kPartEntries = 1 << 14;  // enough work for a part
  if (args.k == 0) return;
  float* const values = args.values ? args.values : static_cast<float*>(args.workspace.data);
  const int64_t rows_of_part = args.cols < kPartEntries ? kPartEntries / args.cols : 1;
  parallel(context, divide_up(args.rows, rows_of_part), [&](int64_t part, int) {
    const int64_t end = smaller(args.rows, (part + 1) * rows_of_part);
    for (int64_t r = part * rows_of_part; r < end; ++r) {
      BestEntries best(values + r * args.k, args.indices + r * args.k, args.k);
      best.take_all(args.x + r * args.cols, args.cols, 0);
      best.sort();
    }
  });
}

}  // namespace foretoken::cpu::FORETOKEN_ISA
