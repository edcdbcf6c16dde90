#include "csrc/cpu/linear/gemm_dot.h"

#include "csrc/cpu/linear/dot_bfloat16.h"
#include "csrc/cpu/linear/dot_int8.h"
#include "csrc/cpu/linear/pack.h"
#include "csrc/cpu/sizes.h"

namespace foretoken::cpu::FORETOKEN_ISA {
namespace {

// As many rows of A are brought to the type of B at a time as leave the second-level cache to the panels as well.
constexpr int64_t kBlockBytes = 512 * 1024;

// Columns that all rows of a block are multiplied with before the next ones.
constexpr int64_t kColumns = 4 * kLanes;

// Calls f with the format of `dtype`.
template <typename F>
auto with_words(DType dtype, F f) {
  return dtype == DType::kInt8 ? f(Int8Words()) : f(BFloat16Words());
}

template <typename Words>
int64_t rows_of_block(int64_t k) {
  return larger(kTileRows, kBlockBytes / larger(1, Words::row_bytes(k)) / kTileRows * kTileRows);
}

// C[kRows, cols] of kPanels panels, cols ≤ kPanels * kLanes.
template <typename Words, int kRows, int kPanels>
[[gnu::noinline]] void multiply_tile(int64_t k, const char* rows, const void* panels, float* __restrict c,
                                     int64_t c_stride, int64_t cols, const float* bias) {
  Vec sums[kPanels][kRows];
#pragma GCC unroll 4
  for (int p = 0; p < kPanels; ++p) {
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) sums[p][r] = Vec{};
  }
  Words::multiply(k, rows, panels, sums);
#pragma GCC unroll 4
  for (int p = 0; p < kPanels; ++p) {
    const int64_t first = p * kLanes;
    const int lanes = static_cast<int>(larger(0, smaller(kLanes, cols - first)));
    const Vec add = bias ? load_n(bias + first, lanes) : Vec{};
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) store_n(c + r * c_stride + first, bias ? sums[p][r] + add : sums[p][r], lanes);
  }
}

// C of one tile of rows and the first of `cols` columns; returns how many.
template <typename Words, int kRows>
int64_t multiply_rows(int count, int64_t k, const char* rows, const void* panels, float* c, int64_t c_stride,
                      int64_t cols, const float* bias) {
  if (count == kRows) {
    constexpr int kPanels = Words::panels_at_once(kRows);
    if (cols >= kPanels * kLanes) {
      multiply_tile<Words, kRows, kPanels>(k, rows, panels, c, c_stride, kPanels * kLanes, bias);
      return kPanels * kLanes;
    }
    multiply_tile<Words, kRows, 1>(k, rows, panels, c, c_stride, smaller(kLanes, cols), bias);
    return kLanes;
  }
  if constexpr (kRows > 1) return multiply_rows<Words, kRows - 1>(count, k, rows, panels, c, c_stride, cols, bias);
  return cols;
}

template <typename Words>
void multiply_here(const Gemm& g, char* packed) {
  const auto* const a = static_cast<const float*>(g.a.data);
  const int64_t height = rows_of_block<Words>(g.k), row_bytes = Words::row_bytes(g.k);
  for (int64_t row = 0; row < g.m; row += height) {
    const int64_t rows = smaller(height, g.m - row), tiles = divide_up(rows, kTileRows);
    const auto each_tile = [&](auto f) {
      for (int64_t i = 0; i < tiles; ++i) {
        const int64_t begin = tile_begin(rows, tiles, i);
        f(row + begin, static_cast<int>(tile_begin(rows, tiles, i + 1) - begin), packed + begin * row_bytes);
      }
    };
    each_tile([&](int64_t first, int count, char* tile) {
      for (int r = 0; r < count; ++r) Words::pack_row(a + (first + r) * g.a.row_stride, g.k, count, r, tile);
    });
    for (int64_t begin = 0; begin < g.n; begin += kColumns) {
      const int64_t end = smaller(g.n, begin + kColumns);
      each_tile([&](int64_t first, int count, const char* tile) {
        for (int64_t col = begin; col < end;) {
          col += multiply_rows<Words, kTileRows>(count, g.k, tile, word_panel(g.b.data, g.k, col, g.b.dtype),
                                                 g.c + first * g.c_stride + col, g.c_stride, end - col,
                                                 g.bias ? g.bias + col : nullptr);
        }
      });
    }
  }
}

}  // namespace

int64_t word_panel_bytes(int64_t n, int64_t k, DType dtype) {
  return with_words(dtype, [&](auto words) { return divide_up(n, kLanes) * words.panel_bytes(k); });
}

const void* word_panel(const void* panels, int64_t k, int64_t col, DType dtype) {
  const int64_t size = with_words(dtype, [&](auto words) { return words.panel_bytes(k); });
  return static_cast<const char*>(panels) + col / kLanes * size;
}

void pack_word_panels(const Context& context, const Matrix& weight, int64_t n, int64_t k, DType dtype, void* out) {
  with_words(dtype, [&](auto words) {
    with_type(weight.data, weight.dtype, [&](auto data) {
      parallel(context, divide_up(n, kLanes), [&](int64_t part, int) {
        void* const panel = static_cast<char*>(out) + part * words.panel_bytes(k);
        for (int64_t lane = 0; lane < kLanes; ++lane) {
          const int64_t col = part * kLanes + lane;
          if (col < n) {
            words.pack_column(data + col * k, k, panel, lane);
          } else {
            words.clear_column(k, panel, lane);
          }
        }
      });
    });
  });
}

void unpack_word_column(const Matrix& panels, int64_t k, int64_t col, float* out) {
  with_words(panels.dtype, [&](auto words) {
    words.unpack_column(word_panel(panels.data, k, col, panels.dtype), k, col % kLanes, out);
  });
}

int64_t word_scratch(int64_t m, int64_t k, DType dtype) {
  return with_words(dtype, [&]<typename Words>(Words) {
    return round_up(smaller(m, rows_of_block<Words>(k)) * Words::row_bytes(k), 64) /
           static_cast<int64_t>(sizeof(float));
  });
}

void multiply_words_here(const Gemm& g, float* scratch) {
  with_words(g.b.dtype, [&]<typename Words>(Words) { multiply_here<Words>(g, reinterpret_cast<char*>(scratch)); });
}

}  // namespace foretoken::cpu::FORETOKEN_ISA
