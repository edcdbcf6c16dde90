// out[i] = f(in[i]…) for every i: vectors of 16 bytes of the widest type, and the rest one by one.
#pragma once

#include <algorithm>

#include "csrc/cuda/common/numeric.cuh"
#include "csrc/cuda/context.h"

namespace foretoken::cuda {

constexpr int kMapThreads = 256;

// Blocks for so many items of which every thread takes one, and then those that are a grid further on.
inline dim3 map_grid(const Context& context, int64_t items) {
  constexpr int64_t kBlocksEach = 8;  // a multiprocessor: enough to hide the latency of memory
  return dim3(static_cast<unsigned>(
      std::min(divide_up(items, kMapThreads), kBlocksEach * static_cast<int64_t>(context.multiprocessors))));
}

// With a record, only if there is no error in it.
template <int N, typename F, typename Out, typename... In>
__global__ void __launch_bounds__(kMapThreads,
                                  6)  // of its own accord ptxas would take so few registers that they spill
    map_kernel(const ErrorRecord* record, int64_t count, Out* out, F f, const In*... in) {
  if (record != nullptr && has_error(record)) return;
  const int64_t threads = static_cast<int64_t>(gridDim.x) * kMapThreads;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kMapThreads + threadIdx.x;
  for (int64_t i = first; i < count / N; i += threads) {
    float results[N];
    [&](auto... vectors) {
#pragma unroll
      for (int j = 0; j < N; ++j) results[j] = f(to_float(vectors.elements[j])...);
    }(reinterpret_cast<const Vector<In, N>*>(in)[i]...);
    store<N>(out + i * N, results);
  }
  for (int64_t i = count / N * N + first; i < count; i += threads) out[i] = from_float<Out>(f(to_float(in[i])...));
}

template <typename F, typename Out, typename... In>
void launch_map(const Context& context, const ErrorRecord* record, int64_t count, Out* out, F f, const In*... in) {
  constexpr int kWidest = static_cast<int>(16 / std::max({sizeof(Out), sizeof(In)...}));
  const bool aligned = ((reinterpret_cast<uintptr_t>(out) % (kWidest * sizeof(Out)) == 0) && ... &&
                        (reinterpret_cast<uintptr_t>(in) % (kWidest * sizeof(In)) == 0));
  if (aligned) {
    launch(context, map_kernel<kWidest, F, Out, In...>, map_grid(context, divide_up(count, kWidest)), dim3(kMapThreads),
           0, record, count, out, f, in...);
  } else {
    launch(context, map_kernel<1, F, Out, In...>, map_grid(context, count), dim3(kMapThreads), 0, record, count, out, f,
           in...);
  }
}

// `f` is a functor that takes and gives floats; `out` holds nothing yet.
template <typename F, typename Out, typename... In>
void map(const Context& context, int64_t count, Out* out, F f, const In*... in) {
  launch_map(context, nullptr, count, out, f, in...);
}

// The same over what `out` held before, which stays when an operation has met an error.
template <typename F, typename Out, typename... In>
void map_over(const Context& context, int64_t count, Out* out, F f, const In*... in) {
  launch_map(context, context.record, count, out, f, in...);
}

}  // namespace foretoken::cuda
