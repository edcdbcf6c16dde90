// The largest entries of each row, in falling order; ties to the lowest index.
#include "csrc/cpu/kernels.h"
#include "csrc/cpu/simd.h"

namespace foretoken::cpu::FORETOKEN_ISA {
namespace {

// Rows worth a part of their own, in entries.
constexpr int64_t kPartEntries = 1 << 14;

// The best so far, kept sorted: entries come in index order, so a newcomer stands behind its equals.
struct Ranking {
  float* values;
  int32_t* indices;
  int64_t k, count = 0;

  bool takes(float value) const { return count < k || value > values[k - 1]; }

  void insert(float value, int32_t index) {
    int64_t at = count < k ? count++ : k - 1;
    for (; at > 0 && values[at - 1] < value; --at) {
      values[at] = values[at - 1];
      indices[at] = indices[at - 1];
    }
    values[at] = value;
    indices[at] = index;
  }
};

void rank_row(const float* x, int64_t cols, Ranking ranking) {
  for (int64_t first = 0; first < cols; first += kLanes) {
    const int lanes = cols - first < kLanes ? static_cast<int>(cols - first) : kLanes;
    const Vec v = load_n(x + first, lanes);
    // Most vectors hold nothing that could enter.
    if (ranking.count == ranking.k) {
      const IVec better = v > ranking.values[ranking.k - 1];
      int any = 0;
      for (int lane = 0; lane < lanes; ++lane) any |= better[lane];
      if (!any) continue;
    }
    for (int lane = 0; lane < lanes; ++lane) {
      // NaN ranks with -inf, so that every row has k entries.
      const float value = v[lane] == v[lane] ? v[lane] : -__builtin_inff();
      if (ranking.takes(value)) ranking.insert(value, static_cast<int32_t>(first + lane));
    }
  }
}

}  // namespace

int64_t workspace(const TopKArgs& args, const Context& context) {
  return args.rows * args.k * static_cast<int64_t>(sizeof(float));
}

void run(const TopKArgs& args, const Context& context) {
  float* const values = args.values ? args.values : static_cast<float*>(args.workspace.data);
  const int64_t rows_of_part = args.cols < kPartEntries ? kPartEntries / (args.cols > 0 ? args.cols : 1) : 1;
  parallel(context, (args.rows + rows_of_part - 1) / rows_of_part, [&](int64_t part, int) {
    const int64_t end = (part + 1) * rows_of_part < args.rows ? (part + 1) * rows_of_part : args.rows;
    for (int64_t r = part * rows_of_part; r < end; ++r) {
      rank_row(args.x + r * args.cols, args.cols, {values + r * args.k, args.indices + r * args.k, args.k});
    }
  });
}

}  // namespace foretoken::cpu::FORETOKEN_ISA
