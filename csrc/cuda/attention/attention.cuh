// Shared by the kernels of attention: the head that a block works on, where its rows lie, and where documents start.
#pragma once

#include <algorithm>
#include <type_traits>

#include "csrc/core/error.h"
#include "csrc/cuda/attention/attention_tiles.cuh"
#include "csrc/cuda/common/exp.cuh"
#include "csrc/cuda/context.h"

namespace foretoken::cuda {

// e^x: accurate to float32 for float32; for bfloat16, whose weights are rounded anyway, the faster exp2f.
template <typename T>
FORETOKEN_DEVICE float exponential(float x) {
  if constexpr (std::is_same_v<T, float>) return exp(x);
  else return exp2f(x * 1.44269504f);
}

// Calls f(element, columns): a T{} of the activations' type, and the number of columns that tiles of such heads have,
// as a std::integral_constant. Rows of a sequence are counted in 32 bits, also some way beyond its end.
template <typename Args, typename F>
void with_tiles(const Args& args, const Context& context, F&& f) {
  constexpr int64_t kMostRows = int64_t{1} << 30, kMostColumns = 256;
  const int64_t dim = args.shape.head_dim;
  if (args.length > kMostRows || dim > kMostColumns) {
    throw make_error(ErrorCode::kUnsupported,
                     "%s: sequences have %lld rows and heads %lld dimensions, but on CUDA at most %lld and %lld",
                     context.op, static_cast<long long>(args.length), static_cast<long long>(dim),
                     static_cast<long long>(kMostRows), static_cast<long long>(kMostColumns));
  }
  with_activations(args.dtype, [&](auto element) {
    if (dim <= 32) f(element, std::integral_constant<int, 32>());
    else if (dim <= 64) f(element, std::integral_constant<int, 64>());
    else if (dim <= 96) f(element, std::integral_constant<int, 96>());
    else if (dim <= 128) f(element, std::integral_constant<int, 128>());
    else f(element, std::integral_constant<int, 256>());
  });
}

// Whether rows of heads in all these matrices can be read 16 bytes at a time.
template <typename T, typename... Pointers>
bool are_vectors(int64_t head_dim, const Pointers*... pointers) {
  return head_dim * static_cast<int64_t>(sizeof(T)) % 16 == 0 &&
         ((reinterpret_cast<uintptr_t>(pointers) % 16 == 0) && ...);
}

// Launches one block for each item, in several grids if one cannot hold them. A kernel's last argument is the item of
// its block 0.
template <typename Kernel, typename... Arguments>
void launch_items(const Context& context, Kernel kernel, int64_t items, int threads, int64_t shared_bytes,
                  const Arguments&... arguments) {
  constexpr int64_t kMost = 0x7fffffff;
  for (int64_t first = 0; first < items; first += kMost) {
    launch(context, kernel, dim3(static_cast<unsigned>(std::min(items - first, kMost))),
           dim3(static_cast<unsigned>(threads)), static_cast<size_t>(shared_bytes), arguments..., first);
  }
}

// The item of a block. The blocks of a head are neighbours, so that they find its keys and values in the cache.
struct Place {
  FORETOKEN_DEVICE Place(int64_t item, int64_t heads, int blocks)
      : sequence(item / blocks / heads),
        head(static_cast<int>(item / blocks % heads)),
        block(static_cast<int>(item % blocks)) {}

  const int64_t sequence;
  const int head, block;
};

// Head `head` of the rows of one sequence; a row has `heads` heads.
template <typename T, typename Void>
FORETOKEN_DEVICE HeadRows<T> head_rows(Void* data, int64_t sequence, int64_t length, int64_t heads, int64_t head,
                                       int64_t dim, bool vectors) {
  const int64_t stride = heads * dim;
  return {static_cast<T*>(data) + sequence * length * stride + head * dim, stride, static_cast<int>(length),
          static_cast<int>(dim), vectors};
}

// The first rows that the rows of one sequence attend to.
struct Starts {
  template <typename Args>
  FORETOKEN_DEVICE Starts(const Args& args, int64_t sequence, const Reporter& reporter)
      : offset(sequence * args.length),
        length(static_cast<int>(args.length)),
        window(args.shape.window),
        data(args.starts + offset),
        reporter(reporter) {}

  const int64_t offset;
  const int length, window;
  const int32_t* const data;
  const Reporter& reporter;

  // The start of a row's document or window, whichever is later; the row itself for rows after the last. Reports a start
  // that is out of range, and returns the row itself instead.
  FORETOKEN_DEVICE int at(int row) const {
    if (row >= length) return row;
    const int start = data[row];
    if (start >= 0 && start <= row) return max(start, row - window + 1);
    reporter.report(Argument::kStarts, offset + row, start, 0, length - 1);
    return row;
  }
};

struct Extent {
  int lowest, highest;
};

// The lowest and the highest start of rows first … first + count - 1, in every lane. Row `first` must exist.
FORETOKEN_DEVICE Extent extent_of(const Starts& starts, int first, int count) {
  Extent extent = {first, 0};
  const int end = min(first + count, starts.length);
  for (int row = first + static_cast<int>(threadIdx.x % kWarp); row < end; row += kWarp) {
    const int start = starts.at(row);
    extent = {min(extent.lowest, start), max(extent.highest, start)};
  }
  return {reduce_warp(extent.lowest, Min()), reduce_warp(extent.highest, Max())};
}

}  // namespace foretoken::cuda
