// The largest entries of each row, in descending order; ties go to the lowest index, and NaN ranks like -inf.
#include "csrc/cpu/kernels.h"
#include "csrc/cpu/sampling/draw.h"
#include "csrc/cpu/sizes.h"

namespace foretoken::cpu::FORETOKEN_ISA {
namespace {

constexpr int64_t kPartEntries = 1 << 14;  // enough work for a part
constexpr int64_t kBlock = 8 * kLanes;     // entries that are compared with the smallest of the heap at a time

// The best k entries so far, as a heap with the worst on top. Entries arrive in index order, so a new one ranks behind
// its equals.
struct Heap {
  float* values;
  int32_t* indices;
  int64_t size;

  // Whether entry `a` ranks behind (value, index).
  bool is_worse(int64_t a, float value, int32_t index) const {
    return values[a] < value || (values[a] == value && indices[a] > index);
  }

  // Puts an entry into the hole at `at`, after moving worse entries below the hole up.
  void sink(int64_t at, float value, int32_t index) const {
    for (int64_t child; (child = 2 * at + 1) < size; at = child) {
      if (child + 1 < size && is_worse(child + 1, values[child], indices[child])) ++child;
      if (!is_worse(child, value, index)) break;
      values[at] = values[child];
      indices[at] = indices[child];
    }
    values[at] = value;
    indices[at] = index;
  }
};

float rankable(float x) { return x == x ? x : -__builtin_inff(); }

// Fills the heap with the best heap.size entries of a row, then sorts them.
void rank_row(const float* x, int64_t cols, Heap heap) {
  const int64_t k = heap.size;
  for (int64_t i = 0; i < k; ++i) {
    heap.values[i] = rankable(x[i]);
    heap.indices[i] = static_cast<int32_t>(i);
  }
  for (int64_t i = k / 2; i-- > 0;) heap.sink(i, heap.values[i], heap.indices[i]);
  for (int64_t first = k; first < cols; first += kBlock) {
    const int64_t size = smaller(kBlock, cols - first);
    // Skips a block without an entry for the heap, as most are.
    IVec enters = {};
    for_vectors(x + first, size, [&](int64_t, Vec v) { enters |= v > heap.values[0]; });
    if (!any(enters)) continue;
    for (int64_t i = first; i < first + size; ++i) {
      if (x[i] > heap.values[0]) heap.sink(0, x[i], static_cast<int32_t>(i));
    }
  }
  while (heap.size > 1) {  // moves the worst entry to the end
    const float value = heap.values[0];
    const int32_t index = heap.indices[0];
    const int64_t last = --heap.size;
    heap.sink(0, heap.values[last], heap.indices[last]);
    heap.values[last] = value;
    heap.indices[last] = index;
  }
}

}  // namespace

int64_t workspace(const TopKArgs& args, const Context&) {
  return args.values ? 0 : bytes_of<float>(args.rows * args.k);
}

void run(const TopKArgs& args, const Context& context) {
  if (args.k == 0) return;
  float* const values = args.values ? args.values : static_cast<float*>(args.workspace.data);
  const int64_t rows_of_part = args.cols < kPartEntries ? kPartEntries / args.cols : 1;
  parallel(context, divide_up(args.rows, rows_of_part), [&](int64_t part, int) {
    const int64_t end = smaller(args.rows, (part + 1) * rows_of_part);
    for (int64_t r = part * rows_of_part; r < end; ++r) {
      rank_row(args.x + r * args.cols, args.cols, {values + r * args.k, args.indices + r * args.k, args.k});
    }
  });
}

}  // namespace foretoken::cpu::FORETOKEN_ISA
