#include "csrc/cpu/linear/gemm_dot.h"

#include "csrc/cpu/linear/dot_bfloat16.h"
#include "csrc/cpu/linear/dot_int8.h"
#include "csrc/cpu/linear/pack.h"
#include "csrc/cpu/sizes.h"

namespace foretoken::cpu::FORETOKEN_ISA {
namespace {

// Size of the rows of A that are converted at a time: they leave room in the second-level cache for the panels.
constexpr int64_t kBlockBytes = 512 * 1024;

// Number of columns that all rows of a block are multiplied with before the next columns.
constexpr int64_t kColumns = 4 * kLanes;

// Calls f with the format of `dtype`.
template <typename F>
auto with_format(DType dtype, F f) {
  return dtype == DType::kInt8 ? f(DotInt8()) : f(DotBFloat16());
}

template <typename Format>
int64_t rows_of_block(int64_t k) {
  return larger(kTileRows, kBlockBytes / larger(1, Format::row_bytes(k)) / kTileRows * kTileRows);
}

// Computes C[kRows, cols] for kPanels panels, cols ≤ kPanels * kLanes.
template <typename Format, int kRows, int kPanels>
[[gnu::noinline]] void multiply_tile(int64_t k, const char* rows, const void* panels, float* __restrict c,
                                     int64_t c_stride, int64_t cols, const float* bias) {
  Vec sums[kPanels][kRows];
#pragma GCC unroll 4
  for (int p = 0; p < kPanels; ++p) {
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) sums[p][r] = Vec{};
  }
  Format::multiply(k, rows, panels, sums);
#pragma GCC unroll 4
  for (int p = 0; p < kPanels; ++p) {
    const int64_t first = p * kLanes;
    const int lanes = lanes_of(cols - first);
    const Vec add = bias ? load_n(bias + first, lanes) : Vec{};
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) store_n(c + r * c_stride + first, bias ? sums[p][r] + add : sums[p][r], lanes);
  }
}

// Computes C for one tile of rows and the first of `cols` columns; returns the number of columns.
template <typename Format, int kRows>
int64_t multiply_rows(int count, int64_t k, const char* rows, const void* panels, float* c, int64_t c_stride,
                      int64_t cols, const float* bias) {
  if (count == kRows) {
    constexpr int kPanels = Format::panels_at_once(kRows);
    if (cols >= kPanels * kLanes) {
      multiply_tile<Format, kRows, kPanels>(k, rows, panels, c, c_stride, kPanels * kLanes, bias);
      return kPanels * kLanes;
    }
    multiply_tile<Format, kRows, 1>(k, rows, panels, c, c_stride, smaller(kLanes, cols), bias);
    return kLanes;
  }
  if constexpr (kRows > 1) return multiply_rows<Format, kRows - 1>(count, k, rows, panels, c, c_stride, cols, bias);
  return cols;
}

template <typename Format>
void multiply_here(const Gemm& g, char* packed) {
  const auto* const a = static_cast<const float*>(g.a.data);
  const int64_t height = rows_of_block<Format>(g.k), row_bytes = Format::row_bytes(g.k);
  for (int64_t row = 0; row < g.m; row += height) {
    const int64_t rows = smaller(height, g.m - row), tiles = divide_up(rows, kTileRows);
    const auto each_tile = [&](auto f) {
      for (int64_t i = 0; i < tiles; ++i) {
        const int64_t begin = tile_begin(rows, tiles, i);
        f(row + begin, static_cast<int>(tile_begin(rows, tiles, i + 1) - begin), packed + begin * row_bytes);
      }
    };
    each_tile([&](int64_t first, int count, char* tile) {
      for (int r = 0; r < count; ++r) Format::pack_row(a + (first + r) * g.a.row_stride, g.k, count, r, tile);
    });
    for (int64_t begin = 0; begin < g.n; begin += kColumns) {
      const int64_t end = smaller(g.n, begin + kColumns);
      each_tile([&](int64_t first, int count, const char* tile) {
        for (int64_t col = begin; col < end;) {
          col += multiply_rows<Format, kTileRows>(count, g.k, tile, dot_panel(g.b.data, g.k, col, g.b.dtype),
                                                  g.c + first * g.c_stride + col, g.c_stride, end - col,
                                                  g.bias ? g.bias + col : nullptr);
        }
      });
    }
  }
}

}  // namespace

int64_t dot_panel_bytes(int64_t n, int64_t k, DType dtype) {
  return with_format(dtype, [&](auto format) { return divide_up(n, kLanes) * format.panel_bytes(k); });
}

const void* dot_panel(const void* panels, int64_t k, int64_t col, DType dtype) {
  const int64_t size = with_format(dtype, [&](auto format) { return format.panel_bytes(k); });
  return static_cast<const char*>(panels) + col / kLanes * size;
}

void pack_dot_panels(const Context& context, const Matrix& weight, int64_t n, int64_t k, DType dtype, void* out) {
  with_format(dtype, [&](auto format) {
    with_type(weight.data, weight.dtype, [&](auto data) {
      parallel(context, divide_up(n, kLanes), [&](int64_t part, int) {
        void* const panel = static_cast<char*>(out) + part * format.panel_bytes(k);
        for (int64_t lane = 0; lane < kLanes; ++lane) {
          const int64_t col = part * kLanes + lane;
          if (col < n) {
            format.pack_column(data + col * k, k, panel, lane);
          } else {
            format.clear_column(k, panel, lane);
          }
        }
      });
    });
  });
}

void unpack_dot_column(const Matrix& panels, int64_t k, int64_t col, float* out) {
  with_format(panels.dtype, [&](auto format) {
    format.unpack_column(dot_panel(panels.data, k, col, panels.dtype), k, col % kLanes, out);
  });
}

int64_t dot_scratch(int64_t m, int64_t k, DType dtype) {
  return with_format(dtype, [&]<typename Format>(Format) {
    return cache_lines(smaller(m, rows_of_block<Format>(k)) * Format::row_bytes(k)) / int64_t{sizeof(float)};
  });
}

void multiply_dot_here(const Gemm& g, float* scratch) {
  with_format(g.b.dtype, [&]<typename Format>(Format) { multiply_here<Format>(g, reinterpret_cast<char*>(scratch)); });
}

}  // namespace foretoken::cpu::FORETOKEN_ISA
