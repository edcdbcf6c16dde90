#include "csrc/cpu/gemm_int8.h"

#include "csrc/cpu/int8.h"
#include "csrc/cpu/pack.h"
#include "csrc/cpu/sizes.h"

namespace foretoken::cpu::FORETOKEN_ISA {
namespace {

// Rows of A are brought to int8 as many at a time as leave the second-level cache to the panels as well.
constexpr int64_t kBlockBytes = 512 * 1024;

int64_t groups_of(int64_t k) { return divide_up(k, kGroup); }

// --- panels of B ---

struct Panel {
  BFloat16* scales;
  uint8_t* bytes;

  static int64_t scale_bytes(int64_t k) {
    return round_up(groups_of(k) * kLanes * static_cast<int64_t>(sizeof(BFloat16)), 64);
  }
  static int64_t size(int64_t k) { return scale_bytes(k) + groups_of(k) * kWords * kWordBytes; }

  // The one that column `col` is in.
  Panel(const void* panels, int64_t k, int64_t col) {
    char* const begin = static_cast<char*>(const_cast<void*>(panels)) + col / kLanes * size(k);
    scales = reinterpret_cast<BFloat16*>(begin);
    bytes = reinterpret_cast<uint8_t*>(begin + scale_bytes(k));
  }

  BFloat16& scale(int64_t group, int64_t lane) const { return scales[group * kLanes + lane]; }
  uint8_t& at(int64_t group, int i, int64_t lane) const {
    return bytes[((group * kWords + i / kDepth) * kLanes + lane) * kDepth + i % kDepth];
  }
};

// The integers are of the scale as it is stored, so that its rounding costs nothing.
template <typename T>
void pack_group(const T* weights, int count, const Panel& panel, int64_t group, int64_t lane) {
  BFloat16& stored = panel.scale(group, lane);
  store_n(&stored, broadcast(scale_for(largest_bits(weights, count))), 1);
  int32_t integers[kGroup];
  quantize(weights, count, to_float(stored), integers);
  for (int i = 0; i < kGroup; ++i) panel.at(group, i, lane) = static_cast<uint8_t>(integers[i] + kOffset);
}

template <typename T>
void pack_panel(const T* weight, int64_t n, int64_t k, int64_t col, void* out) {
  const Panel panel(out, k, col);
  for (int64_t lane = 0; lane < kLanes; ++lane) {
    const bool is_there = col + lane < n;
    const T* const row = weight + (is_there ? (col + lane) * k : 0);
    for (int64_t group = 0; group < groups_of(k); ++group) {
      const int64_t count = is_there ? smaller(kGroup, k - group * kGroup) : 0;
      pack_group(row + (is_there ? group * kGroup : 0), static_cast<int>(count), panel, group, lane);
    }
  }
}

// --- rows of A ---

// Tiles of kTileRows rows or fewer, for each group of k [rows] scales, [rows] first sums, [kWords][rows] words of
// integers: what the inner loop reads, in its order.
constexpr int64_t kRowGroupBytes = 4 + 4 + 4 * kWords;

int64_t row_bytes(int64_t k) { return groups_of(k) * kRowGroupBytes; }

int64_t rows_of_block(int64_t k) {
  return larger(kTileRows, kBlockBytes / larger(1, row_bytes(k)) / kTileRows * kTileRows);
}

void quantize_row(const float* x, int64_t k, int rows, int r, char* tile) {
  for (int64_t group = 0; group < groups_of(k); ++group) {
    const float* const from = x + group * kGroup;
    const int count = static_cast<int>(smaller(kGroup, k - group * kGroup));
    const float scale = scale_for(largest_bits(from, count));
    int32_t integers[kGroup];
    quantize(from, count, scale, integers);
    int32_t sum = 0;
    Element elements[kGroup];
    for (int i = 0; i < kGroup; ++i) {
      sum += integers[i];
      elements[i] = static_cast<Element>(integers[i]);
    }
    char* const to = tile + group * rows * kRowGroupBytes;
    reinterpret_cast<float*>(to)[r] = scale;
    auto* const words = reinterpret_cast<int32_t*>(to) + rows;
    words[r] = -kOffset * sum;
    for (int w = 0; w < kWords; ++w) __builtin_memcpy(&words[(w + 1) * rows + r], elements + w * kDepth, 4);
  }
}

// --- the product ---

// C[kRows, cols] of one panel, cols ≤ kLanes.
template <int kRows>
[[gnu::noinline]] void multiply_tile(int64_t groups, const char* rows, const Panel& panel, float* __restrict c,
                                     int64_t c_stride, int cols, const float* bias) {
  const BFloat16* scales = panel.scales;
  const uint8_t* bytes = panel.bytes;
  Vec sums[kRows];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) sums[r] = Vec{};
  for (int64_t group = 0; group < groups; ++group) {
    const auto* const row_scales = reinterpret_cast<const float*>(rows);
    const auto* words = reinterpret_cast<const int32_t*>(rows) + kRows;
    IVec dots[kRows];
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) dots[r] = broadcast_int(words[r]);
#pragma GCC unroll 16
    for (int w = 0; w < kWords; ++w) {
      words += kRows;
      __builtin_prefetch(bytes + kPrefetchBytes, 0, 3);
      const Spread weights = spread(bytes);
      bytes += kWordBytes;
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) dots[r] = multiply_words(dots[r], weights, words[r]);
    }
    const Vec scale = load(scales);
    scales += kLanes;
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) sums[r] = fma(to_float(dots[r]), scale * broadcast(row_scales[r]), sums[r]);
    rows += kRows * kRowGroupBytes;
  }
  if (bias) {
    const Vec add = load_n(bias, cols);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) sums[r] += add;
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) store_n(c + r * c_stride, sums[r], cols);
}

template <int kRows>
void multiply_rows(int count, int64_t groups, const char* rows, const Panel& panel, float* c, int64_t c_stride,
                   int cols, const float* bias) {
  if (count == kRows) return multiply_tile<kRows>(groups, rows, panel, c, c_stride, cols, bias);
  if constexpr (kRows > 1) multiply_rows<kRows - 1>(count, groups, rows, panel, c, c_stride, cols, bias);
}

}  // namespace

int64_t int8_panel_bytes(int64_t n, int64_t k) { return divide_up(n, kLanes) * Panel::size(k); }

const void* int8_panel(const void* panels, int64_t k, int64_t col) { return Panel(panels, k, col).scales; }

void pack_int8_panels(const Context& context, const Matrix& weight, int64_t n, int64_t k, void* out) {
  with_type(weight.data, weight.dtype, [&](auto data) {
    parallel(context, divide_up(n, kLanes), [&](int64_t part, int) { pack_panel(data, n, k, part * kLanes, out); });
  });
}

void unpack_int8_column(const void* panels, int64_t k, int64_t col, float* out) {
  const Panel panel(panels, k, col);
  const int64_t lane = col % kLanes;
  for (int64_t group = 0; group < groups_of(k); ++group) {
    const float scale = to_float(panel.scale(group, lane));
    const int64_t count = smaller(kGroup, k - group * kGroup);
    for (int i = 0; i < count; ++i) {
      // A byte without its offset, signed.
      const auto integer = static_cast<int8_t>(panel.at(group, i, lane) - kOffset);
      out[group * kGroup + i] = static_cast<float>(integer) * scale;
    }
  }
}

int64_t int8_scratch(int64_t m, int64_t k) {
  return round_up(smaller(m, rows_of_block(k)) * row_bytes(k), 64) / static_cast<int64_t>(sizeof(float));
}

void multiply_int8_here(const Gemm& g, float* scratch) {
  const auto* const a = static_cast<const float*>(g.a.data);
  auto* const quantized = reinterpret_cast<char*>(scratch);
  const int64_t height = rows_of_block(g.k);
  for (int64_t row = 0; row < g.m; row += height) {
    const int64_t rows = smaller(height, g.m - row), tiles = divide_up(rows, kTileRows);
    const auto each_tile = [&](auto f) {
      for (int64_t i = 0; i < tiles; ++i) {
        const int64_t begin = tile_begin(rows, tiles, i);
        f(row + begin, static_cast<int>(tile_begin(rows, tiles, i + 1) - begin), quantized + begin * row_bytes(g.k));
      }
    };
    each_tile([&](int64_t first, int count, char* tile) {
      for (int r = 0; r < count; ++r) quantize_row(a + (first + r) * g.a.row_stride, g.k, count, r, tile);
    });
    for (int64_t col = 0; col < g.n; col += kLanes) {
      const Panel panel(g.b.data, g.k, col);
      const int cols = static_cast<int>(smaller(kLanes, g.n - col));
      each_tile([&](int64_t first, int count, const char* tile) {
        multiply_rows<kTileRows>(count, groups_of(g.k), tile, panel, g.c + first * g.c_stride + col, g.c_stride, cols,
                                 g.bias ? g.bias + col : nullptr);
      });
    }
  }
}

}  // namespace foretoken::cpu::FORETOKEN_ISA
