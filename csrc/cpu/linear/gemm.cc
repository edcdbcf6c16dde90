#include "csrc/cpu/linear/gemm.h"

#include "csrc/cpu/linear/gemm_dot.h"
#include "csrc/cpu/linear/pack.h"
#include "csrc/cpu/sizes.h"
#include "csrc/cpu/split.h"

namespace foretoken::cpu::FORETOKEN_ISA {
namespace {

// The packed block of A stays in the second-level cache while all panels of B are multiplied with it. One panel, packed
// or converted on the way, stays in or near the first level.
constexpr int64_t kBlockFloats = 128 * 1024;
constexpr int64_t kDepth = 512;  // depth of a panel that is packed on the way

// How the inner loop reads a tile's rows of A: packed, [k][rows of the tile], or in place, `stride` floats apart. Rows
// in place are those of a decoding step, whose B streams from memory.
struct PanelRows {
  static constexpr bool kStreamsFromMemory = false;
  const float* data;
  template <int kRows>
  struct Reader {
    const float* at;
    explicit Reader(const PanelRows& rows) : at(rows.data) {}
    Vec operator()(int64_t, int r) const { return broadcast(at[r]); }
    void next() { at += kRows; }
  };
};
struct PlainRows {
  static constexpr bool kStreamsFromMemory = true;
  const float* data;
  int64_t stride;
  template <int kRows>
  struct Reader {
    const float* at[kRows];
    explicit Reader(const PlainRows& rows) {
      for (int r = 0; r < kRows; ++r) at[r] = rows.data + r * rows.stride;
    }
    Vec operator()(int64_t p, int r) const { return broadcast(at[r][p]); }
    void next() {}
  };
};

// Computes C[kRows, cols] for one panel b [k][kPanel], cols ≤ kPanel.
template <int kRows, typename Rows, typename T>
[[gnu::noinline]] void multiply_tile(int64_t k, const Rows& rows, const T* __restrict b, float* __restrict c,
                                     int64_t c_stride, int cols, bool accumulate, const float* bias) {
  typename Rows::template Reader<kRows> a(rows);
  Vec sums[kRows][kPanelVectors];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kPanelVectors; ++v) sums[r][v] = Vec{};
  }
  const bool whole = cols == kPanel;
  const auto lanes = [cols](int v) { return lanes_of(cols - v * kLanes); };
  if (accumulate) {
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < kPanelVectors; ++v) {
        const float* from = c + r * c_stride + v * kLanes;
        sums[r][v] = whole ? load(from) : load_n(from, lanes(v));
      }
    }
  }
  for (int64_t p = 0; p < k; ++p) {
    if constexpr (Rows::kStreamsFromMemory) {
      for (int v = 0; v < kPanel * static_cast<int>(sizeof(T)); v += 64) {
        __builtin_prefetch(reinterpret_cast<const char*>(b) + kPrefetchBytes + v, 0, 3);
      }
    }
    Vec w[kPanelVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kPanelVectors; ++v) w[v] = load(b + v * kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const Vec x = a(p, r);
#pragma GCC unroll 4
      for (int v = 0; v < kPanelVectors; ++v) sums[r][v] = fma(x, w[v], sums[r][v]);
    }
    a.next();
    b += kPanel;
  }
  if (bias) {
#pragma GCC unroll 4
    for (int v = 0; v < kPanelVectors; ++v) {
      const Vec add = load_n(bias + v * kLanes, lanes(v));
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) sums[r][v] += add;
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kPanelVectors; ++v) {
      float* to = c + r * c_stride + v * kLanes;
      if (whole) {
        store(to, sums[r][v]);
      } else {
        store_n(to, sums[r][v], lanes(v));
      }
    }
  }
}

template <int kRows, typename Rows, typename T>
inline void multiply_rows(int count, int64_t k, const Rows& a, const T* b, float* c, int64_t c_stride, int cols,
                          bool accumulate, const float* bias) {
  if (count == kRows) return multiply_tile<kRows>(k, a, b, c, c_stride, cols, accumulate, bias);
  if constexpr (kRows > 1) multiply_rows<kRows - 1>(count, k, a, b, c, c_stride, cols, accumulate, bias);
}

// C += sums [rows, kPanel]
void add_tile(const float* sums, int rows, int cols, float* c, int64_t c_stride) {
  for (int r = 0; r < rows; ++r) {
    const auto add = [](Vec x, Vec y) { return x + y; };
    map_range(0, cols, c + r * c_stride, add, c + r * c_stride, sums + r * kPanel);
  }
}

// Packs rows of A into tiles [depth][rows of the tile], one after another.
void pack_block(const Operand& a, int64_t row, int64_t rows, int64_t first, int64_t depth, float* out) {
  const int64_t tiles = divide_up(rows, kTileRows);
  with_type(a.data, a.dtype, [&](auto data) {
    for (int64_t i = 0; i < tiles; ++i) {
      const int64_t begin = tile_begin(rows, tiles, i);
      const int count = static_cast<int>(tile_begin(rows, tiles, i + 1) - begin);
      pack_strip(data + (row + begin) * a.row_stride + first * a.col_stride, a.row_stride, a.col_stride, count, depth,
                 out, count);
      out += count * depth;
    }
  });
}

// Packs up to kPanel columns of B, `depth` rows each, into a panel [depth][kPanel], with zeros after the last column.
template <typename In, typename Out>
void pack_panel(const In* in, int64_t k_stride, int64_t stride, int64_t cols, int64_t depth, Out* out) {
  for (int v = 0; v < kPanelVectors; ++v) {
    const int lanes = lanes_of(cols - v * kLanes);
    pack_strip(in + v * kLanes * stride, stride, k_stride, lanes, depth, out + v * kLanes, kPanel);
  }
}

// Memory to prefetch: `runs` runs of `bytes` bytes, `stride` bytes apart.
struct Ahead {
  const char* data;
  int64_t runs, stride, bytes;
};

// Prefetches share i of n. Prefetching far more than one share at a time would stall instead of hiding the latency.
void prefetch(const Ahead& ahead, int64_t i, int64_t n) {
  for (int64_t run = ahead.runs * i / n; run < ahead.runs * (i + 1) / n; ++run) {
    for (int64_t byte = 0; byte < ahead.bytes; byte += 64) {
      __builtin_prefetch(ahead.data + run * ahead.stride + byte, 0, 2);
    }
  }
}

template <typename T>
void multiply_panel(const Gemm& g, const float* a, const T* panel, int64_t row, int64_t rows, int64_t col,
                    int64_t depth, bool accumulate, bool last, const Ahead& ahead) {
  const int64_t tiles = divide_up(rows, kTileRows);
  const int cols = static_cast<int>(smaller(kPanel, g.n - col));
  const float* bias = g.bias && last ? g.bias + col : nullptr;
  for (int64_t i = 0; i < tiles; ++i) {
    const int64_t begin = tile_begin(rows, tiles, i);
    const int count = static_cast<int>(tile_begin(rows, tiles, i + 1) - begin);
    prefetch(ahead, i, tiles);
    if (accumulate) {
      const float* next = i + 1 < tiles ? g.c + (row + begin + count) * g.c_stride + col
                                        : g.c + row * g.c_stride + smaller(col + kPanel, g.n);
      prefetch({reinterpret_cast<const char*>(next), count, g.c_stride * 4, kPanel * 4}, 0, 1);
    }
    const PanelRows tile{a + begin * depth};
    float* const c = g.c + (row + begin) * g.c_stride + col;
    if (g.pieces && accumulate) {
      alignas(64) float sums[kTileRows * kPanel];
      multiply_rows<kTileRows>(count, depth, tile, panel, sums, kPanel, cols, false, bias);
      add_tile(sums, count, cols, c, g.c_stride);
    } else {
      multiply_rows<kTileRows>(count, depth, tile, panel, c, g.c_stride, cols, accumulate, bias);
    }
  }
}

// Number of rows of A, and of elements along k, that are packed together.
struct Blocks {
  int64_t rows, depth;
};

Blocks blocks_of(int64_t m, int64_t k, bool panels, bool pieces) {
  const int64_t deepest = panels ? kBlockFloats / kTileRows : kDepth;
  const int64_t wanted = smaller(deepest, larger(kDepth / 2, kBlockFloats / larger(m, 1)));
  const int64_t depth = pieces ? smaller(k, kPiece) : divide_up(k, larger(1, divide_up(k, wanted)));
  const int64_t highest = kBlockFloats / larger(1, depth) / kTileRows * kTileRows;
  return {divide_up(m, larger(1, divide_up(m, highest))), depth};
}

// Size of the packed block of A in floats, with the slack that pack_strip() needs, in whole cache lines.
int64_t block_floats(int64_t rows, int64_t depth) { return cache_lines<float>(rows * depth + kLanes); }

}  // namespace

Operand transposed(const Matrix& weight, int64_t k) { return {weight.data, weight.dtype, 1, k, weight.layout}; }

Operand as_is(const Matrix& matrix, int64_t cols) { return {matrix.data, matrix.dtype, cols, 1, matrix.layout}; }

Gemm block_of(const Gemm& gemm, int64_t row, int64_t rows, int64_t col, int64_t cols) {
  Gemm block = gemm;
  const auto advance = [](const Operand& operand, int64_t elements) {
    return static_cast<const char*>(operand.data) + elements * size_of(operand.dtype);
  };
  block.m = rows;
  block.n = cols;
  block.a.data = advance(gemm.a, row * gemm.a.row_stride);
  switch (gemm.b.layout) {
    case Layout::kRowMajor: block.b.data = advance(gemm.b, col * gemm.b.col_stride); break;
    case Layout::kPanels: block.b.data = advance(gemm.b, col * gemm.k); break;
    case Layout::kDot: block.b.data = dot_panel(gemm.b.data, gemm.k, col, gemm.b.dtype); break;
  }
  block.c = gemm.c + row * gemm.c_stride + col;
  if (gemm.bias) block.bias = gemm.bias + col;
  return block;
}

int64_t gemm_scratch(int64_t m, int64_t k, const Operand& b) {
  return b.layout == Layout::kDot ? dot_scratch(m, k, b.dtype) : gemm_scratch(m, k);
}

int64_t gemm_scratch(int64_t m, int64_t k) {
  const int64_t block = m * k < kBlockFloats ? block_floats(m, k) : block_floats(1, kBlockFloats);
  return block + cache_lines<float>(smaller(k, kDepth) * kPanel);
}

namespace {

// Whether A is one tile of rows, as in a decoding step, with elements that are contiguous along k: then packing A takes
// longer than it saves.
bool is_decoding(const Gemm& g) {
  return g.b.layout == Layout::kPanels && g.m <= kTileRows && g.a.dtype == DType::kFloat32 && g.a.col_stride == 1;
}

void multiply_decoding(const Gemm& g) {
  const PlainRows a{static_cast<const float*>(g.a.data), g.a.row_stride};
  with_type(g.b.data, g.b.dtype, [&](auto data) {
    for (int64_t col = 0; col < g.n; col += kPanel) {
      const int cols = static_cast<int>(smaller(kPanel, g.n - col));
      multiply_rows<kTileRows>(static_cast<int>(g.m), g.k, a, data + col * g.k, g.c + col, g.c_stride, cols,
                               g.accumulate, g.bias ? g.bias + col : nullptr);
    }
  });
}

}  // namespace

void multiply_here(const Gemm& g, float* scratch) {
  if (g.b.layout == Layout::kDot) return multiply_dot_here(g, scratch);
  if (is_decoding(g)) return multiply_decoding(g);
  const bool panels = g.b.layout == Layout::kPanels;
  const Blocks blocks = blocks_of(g.m, g.k, panels, g.pieces);
  float* const a = scratch;
  float* const packed = scratch + block_floats(blocks.rows, blocks.depth);
  int64_t first = 0;
  do {
    const int64_t depth = smaller(blocks.depth, g.k - first);
    const bool accumulate = g.accumulate || first > 0, last = first + depth == g.k;
    for (int64_t row = 0; row < g.m; row += blocks.rows) {
      const int64_t rows = smaller(blocks.rows, g.m - row);
      pack_block(g.a, row, rows, first, depth, a);
      with_type(g.b.data, g.b.dtype, [&](auto data) {
        for (int64_t col = 0; col < g.n; col += kPanel) {
          if (panels) {
            const auto* panel = data + (col * g.k + first * kPanel);
            const auto* next = panel + kPanel * g.k;
            constexpr int64_t kBytes = kPanel * sizeof(*data);
            const Ahead ahead = {reinterpret_cast<const char*>(next), depth, kBytes, kBytes};
            multiply_panel(g, a, panel, row, rows, col, depth, accumulate, last, col + kPanel < g.n ? ahead : Ahead{});
          } else {
            pack_panel(data + first * g.b.row_stride + col * g.b.col_stride, g.b.row_stride, g.b.col_stride, g.n - col,
                       depth, packed);
            const int64_t size = sizeof(*data), next = col + kPanel;
            Ahead ahead = {};
            if (next < g.n) {
              const int64_t width = smaller(kPanel, g.n - next);
              const char* from = reinterpret_cast<const char*>(data + first * g.b.row_stride + next * g.b.col_stride);
              ahead = g.b.row_stride == 1 ? Ahead{from, width, g.b.col_stride * size, depth * size}
                                          : Ahead{from, depth, g.b.row_stride * size, width * size};
            }
            multiply_panel(g, a, packed, row, rows, col, depth, accumulate, last, ahead);
          }
        }
      });
    }
    first += depth;
  } while (first < g.k);
}

namespace {

struct Grid {
  int64_t rows = 1, cols = 1;
};

// Chooses into how many parts to cut C each way, by the least estimated time. Each part packs its own rows of A (and
// columns of B), so fewer parts pack less, but with more parts threads wait less for the last one.
Grid grid_of(const Gemm& g, int threads) {
  // Cycles per element of B: packed on the way, or read from memory in panels.
  const double stream = g.b.layout == Layout::kRowMajor ? 1.0 : 0.4;
  const double pack = 0.5, start = 1000, wake = 5000;
  const int64_t tiles = divide_up(g.m, kTileRows), panels = divide_up(g.n, kPanel);
  const auto time = [&](int64_t rows, int64_t cols) {
    const double m = static_cast<double>(smaller(g.m, divide_up(tiles, rows) * kTileRows));
    const double n = static_cast<double>(divide_up(panels, cols) * kPanel);
    const double part = start + static_cast<double>(g.k) * (m * n / kLanes + pack * m + stream * n);
    const int64_t parts = rows * cols;
    return part * (static_cast<double>(divide_up(parts, threads)) + 0.1) + (parts > 1 ? wake : 0);
  };
  Grid best;
  double least = time(1, 1);
  for (int64_t parts = threads; threads > 1 && parts <= 4 * threads; parts *= 2) {
    for (int64_t rows = 1; rows <= smaller(parts, tiles); ++rows) {
      const int64_t cols = smaller(parts / rows, panels);
      const double estimate = time(rows, cols);
      if (estimate < least) {
        least = estimate;
        best = {rows, cols};
      }
    }
  }
  return best;
}

}  // namespace

void multiply(const Context& context, const Gemm& gemm, float* scratch) {
  if (gemm.m == 0 || gemm.n == 0) return;
  const Grid grid = grid_of(gemm, context.threads);
  const int64_t tiles = divide_up(gemm.m, kTileRows), panels = divide_up(gemm.n, kPanel);
  const int64_t stride = gemm_scratch(gemm.m, gemm.k, gemm.b);
  parallel(context, grid.rows * grid.cols, [&](int64_t part, int thread) {
    const int64_t i = part % grid.rows, j = part / grid.rows;
    const int64_t row = tiles * i / grid.rows * kTileRows, col = panels * j / grid.cols * kPanel;
    const int64_t row_end = smaller(gemm.m, tiles * (i + 1) / grid.rows * kTileRows);
    const int64_t col_end = smaller(gemm.n, panels * (j + 1) / grid.cols * kPanel);
    multiply_here(block_of(gemm, row, row_end - row, col, col_end - col), scratch + thread * stride);
  });
}

void add_column_sums(const Context& context, const float* x, int64_t m, int64_t n, int64_t stride, float* sums) {
  constexpr int64_t kWidth = 512;
  parallel(context, divide_up(n, kWidth), [&](int64_t part, int) {
    const int64_t begin = part * kWidth, end = smaller(n, begin + kWidth);
    for (int64_t i = 0; i < m; ++i) {
      const float* row = x + i * stride;
      for (int64_t j = begin; j < end; ++j) sums[j] += row[j];
    }
  });
}

int64_t panel_bytes(int64_t n, int64_t k, DType dtype) { return round_up(n, kPanel) * k * size_of(dtype); }

void pack_panels(const Context& context, const Matrix& weight, int64_t n, int64_t k, void* out) {
  const int64_t panels = divide_up(n, kPanel);
  const int64_t parts = smaller(panels, 1 + panels * kPanel * k / (256 * 1024));
  with_type(weight.data, weight.dtype, [&]<typename T>(const T* data) {
    parallel(context, parts, [&](int64_t part, int) {
      for (int64_t i = panels * part / parts; i < panels * (part + 1) / parts; ++i) {
        pack_panel(data + i * kPanel * k, 1, k, n - i * kPanel, k, static_cast<T*>(out) + i * kPanel * k);
      }
    });
  });
}

}  // namespace foretoken::cpu::FORETOKEN_ISA
