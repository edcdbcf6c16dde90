// out[i] = f(in[i]…) for every i: in vectors (16 bytes of the widest type), then the remaining elements one by one.
#pragma once

#include <algorithm>

#include "csrc/cuda/common/numeric.cuh"
#include "csrc/cuda/context.h"

namespace foretoken::cuda {

constexpr int kMapThreads = 256;

// Blocks of a grid-stride loop over `items`: every thread takes one item, then the next ones a grid further on.
inline dim3 map_grid(const Context& context, int64_t items) {
  constexpr int64_t kBlocksEach = 8;  // a multiprocessor: enough to hide the latency of memory
  return dim3(static_cast<unsigned>(
      std::min(divide_up(items, kMapThreads), kBlocksEach * static_cast<int64_t>(context.multiprocessors))));
}

// Does nothing if `record` holds an error; `record` may be null. Six blocks a multiprocessor: without this bound ptxas
// chooses so few registers that they spill.
template <int N, typename F, typename Out, typename... In>
__global__ void __launch_bounds__(kMapThreads, 6)
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

// `f` is a functor from floats to a float; `out` is uninitialized memory.
template <typename F, typename Out, typename... In>
void map(const Context& context, int64_t count, Out* out, F f, const In*... in) {
  launch_map(context, nullptr, count, out, f, in...);
}

// map onto an `out` that already holds values. It keeps them if an earlier operation has reported an error.
template <typename F, typename Out, typename... In>
void map_over(const Context& context, int64_t count, Out* out, F f, const In*... in) {
  launch_map(context, context.record, count, out, f, in...);
}

}  // namespace foretoken::cuda
