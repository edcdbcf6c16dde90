#include "csrc/cpu/sampling/fused_draw.h"

#include "csrc/cpu/linear/softcap.h"
#include "csrc/cpu/sampling/mask.h"
#include "csrc/cpu/sizes.h"

namespace foretoken::cpu::FORETOKEN_ISA {
namespace {

// The size of a tile of logits: whole panels, whole runs of noise, and whole tiles of the GEMM's rows.
constexpr int64_t kMostColumns = 512, kLeastColumns = 64, kTileHeight = 96;
static_assert(kLeastColumns % kPanel == 0 && kLeastColumns % kNoiseRun == 0 && kTileHeight % kTileRows == 0);

// Number of columns of a tile: fewer for a small vocabulary, so that every thread gets some.
int64_t tile_columns(int64_t vocab, int threads) {
  return smaller(kMostColumns, round_up(divide_up(vocab, threads), kLeastColumns));
}

// The tiles of all logits, and the workspace: scratch for each thread, then the best entry of every row in every tile.
struct Tiling {
  int64_t columns;                     // of a tile
  int64_t tiles;                       // of all columns
  int64_t blocks;                      // of all rows, kTileHeight each
  int64_t height;                      // rows of the largest block
  int64_t gemm_floats, thread_floats;  // of one thread's scratch: of the GEMM, of all
  int64_t bytes;                       // of the workspace

  Tiling(const FusedDraw& draw, const Context& context)
      : columns(tile_columns(draw.vocab, context.threads)),
        tiles(divide_up(draw.vocab, columns)),
        blocks(divide_up(draw.rows, kTileHeight)),
        height(smaller(kTileHeight, draw.rows)),
        gemm_floats(gemm_scratch(height, draw.dim, transposed(draw.weight, draw.dim))),
        thread_floats(gemm_floats + (height + 1) * columns),
        bytes(bytes_of<float>(context.threads * thread_floats) + bytes_of<Best>(tiles * draw.rows)) {}
};

bool share_noise(const RowDraw& a, const RowDraw& b) {
  return a.temperature > 0 && b.temperature > 0 && a.position == b.position && a.seed == b.seed;
}

// bests[r] = the best entry of row r of one tile, whose columns begin at `first` and whose rows are `stride` floats
// apart. Rows that draw for the same position with the same seed, like siblings, share its noise.
void best_of_tile(const RowDraw* draws, const float* logits, int64_t stride, int64_t rows, int64_t first,
                  int64_t columns, float* noise, Best* bests) {
  for (int64_t r = 0; r < rows; ++r) {
    const auto is_known = [&] {
      for (int64_t before = 0; before < r; ++before) {
        if (share_noise(draws[before], draws[r])) return true;
      }
      return false;
    };
    if (draws[r].temperature == 0) {
      bests[r] = argmax(logits + r * stride, columns, first);
    } else if (!is_known()) {
      const RowDraw& draw = draws[r];
      for (int64_t i = 0; i < columns; i += kNoiseRun) gumbel_noise(draw.seed, draw.position, first + i, noise + i);
      for (int64_t same = r; same < rows; ++same) {
        if (!share_noise(draws[same], draws[r])) continue;
        bests[same] = argmax_with_noise(logits + same * stride, columns, first, draws[same].temperature, noise);
      }
    }
  }
}

}  // namespace

int64_t FusedDraw::workspace_bytes(const Context& context) const { return Tiling(*this, context).bytes; }

void FusedDraw::run(const Context& context, void* workspace, const RowDraw* draws, int32_t* tokens) const {
  const Tiling tiling(*this, context);
  auto* const scratch = static_cast<float*>(workspace);
  auto* const bests = reinterpret_cast<Best*>(scratch + context.threads * tiling.thread_floats);
  const Gemm whole = {.m = rows,
                      .n = vocab,
                      .k = dim,
                      .a = {hidden, DType::kFloat32, dim, 1},
                      .b = transposed(weight, dim),
                      .c = scratch,  // replaced for each tile
                      .c_stride = tiling.columns,
                      .bias = bias};
  parallel(context, tiling.tiles * tiling.blocks, [&](int64_t part, int thread) {
    const int64_t tile = part / tiling.blocks, row = part % tiling.blocks * kTileHeight;
    const int64_t height = smaller(kTileHeight, rows - row);
    const int64_t first = tile * tiling.columns;
    const int64_t columns = smaller(tiling.columns, vocab - first);
    float* const gemm_memory = scratch + thread * tiling.thread_floats;
    float* const logits = gemm_memory + tiling.gemm_floats;
    Gemm gemm = block_of(whole, row, height, first, columns);
    gemm.c = logits;
    multiply_here(gemm, gemm_memory);
    for (int64_t r = 0; r < height; ++r) {
      apply_softcap(logits + r * tiling.columns, columns, softcap);
      apply_mask(logits + r * tiling.columns, first, columns, mask_of_row(mask, row + r, vocab));
    }
    best_of_tile(draws + row, logits, tiling.columns, height, first, columns, logits + tiling.height * tiling.columns,
                 bests + tile * rows + row);
  });
  for (int64_t r = 0; r < rows; ++r) {
    Best best;
    for (int64_t tile = 0; tile < tiling.tiles; ++tile) best.take(bests[tile * rows + r]);
    tokens[r] = best.id;
  }
}

}  // namespace foretoken::cpu::FORETOKEN_ISA
