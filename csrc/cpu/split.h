// Cuts operations into parts. The size of a part depends only on the operation, never on the number of threads. Work
// that fits in one part runs on the stream's own thread, because waking another thread would take longer than the work.
#pragma once

#include "csrc/cpu/context.h"
#include "csrc/cpu/simd.h"
#include "csrc/cpu/sizes.h"

namespace foretoken::cpu::FORETOKEN_ISA {

inline constexpr int64_t kElementsOfPart = 1 << 12;

// Calls f(begin, end) in parallel for consecutive ranges of `size` that cover 0 … count - 1.
template <typename F>
inline void split(const Context& context, int64_t count, int64_t size, F&& f) {
  parallel(context, divide_up(count, size), [&](int64_t part, int) {
    const int64_t begin = part * size;
    f(begin, smaller(begin + size, count));
  });
}

// Calls f(begin, end) in parallel for ranges of rows of `dim` elements each.
template <typename F>
inline void split_rows(const Context& context, int64_t rows, int64_t dim, F&& f) {
  split(context, rows, dim < kElementsOfPart ? kElementsOfPart / (dim > 0 ? dim : 1) : 1, f);
}

// out[i] = f(in[i], …) for i in begin … end - 1, where f takes and returns vectors
template <typename Out, typename F, typename... In>
inline void map_range(int64_t begin, int64_t end, Out* out, F f, const In*... in) {
  int64_t i = begin;
  for (; i + kLanes <= end; i += kLanes) store(out + i, f(load(in + i)...));
  const int rest = static_cast<int>(end - i);
  if (rest > 0) store_n(out + i, f(load_n(in + i, rest)...), rest);
}

// out[i] = f(in[i], …) for i in 0 … count - 1, in parallel
template <typename Out, typename F, typename... In>
inline void map(const Context& context, int64_t count, Out* out, F f, const In*... in) {
  split(context, count, kElementsOfPart, [&](int64_t begin, int64_t end) { map_range(begin, end, out, f, in...); });
}

}  // namespace foretoken::cpu::FORETOKEN_ISA
