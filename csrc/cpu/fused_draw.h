// Unembedding and draw in one: logits exist tile by tile, in scratch of each thread, and are never written out. The
// GEMM gives each logit the bits it has in a whole row, so the draw is that of plain decoding.
#pragma once

#include "csrc/cpu/draw.h"
#include "csrc/cpu/gemm.h"

namespace foretoken::cpu::FORETOKEN_ISA {

// Columns of a tile: whole panels, and whole blocks of noise.
inline constexpr int64_t kTileColumns = 512;
static_assert(kTileColumns % kPanel == 0 && kTileColumns % kNoiseBlock == 0);

struct FusedDraw {
  const float* hidden;  // [rows, dim]
  Matrix weight;        // [vocab, dim]
  const float* bias;    // [vocab] or null
  int64_t rows, dim, vocab;
  float softcap, temperature;
  uint64_t seed;

  int64_t tiles() const { return (vocab + kTileColumns - 1) / kTileColumns; }
  int64_t thread_floats() const { return gemm_scratch(rows, dim) + rows * kTileColumns; }
  int64_t workspace_bytes(const Context& context) const {
    return context.threads * thread_floats() * static_cast<int64_t>(sizeof(float)) +
           tiles() * rows * static_cast<int64_t>(sizeof(Best));
  }

  // tokens[r] = the draw of row r, for position positions[r]; positions may be null at temperature 0
  void run(const Context& context, void* workspace, const int32_t* positions, int32_t* tokens) const {
    auto* const scratch = static_cast<float*>(workspace);
    auto* const bests = reinterpret_cast<Best*>(scratch + context.threads * thread_floats());
    const Gemm whole = {.m = rows,
                        .n = vocab,
                        .k = dim,
                        .a = {hidden, DType::kFloat32, dim, 1},
                        .b = transposed(weight, dim),
                        .c = nullptr,
                        .c_stride = kTileColumns,
                        .bias = bias};
    parallel(context, tiles(), [&](int64_t tile, int thread) {
      float* const mine = scratch + thread * thread_floats();
      float* const logits = mine + gemm_scratch(rows, dim);
      const int64_t first = tile * kTileColumns;
      const int64_t columns = vocab - first < kTileColumns ? vocab - first : kTileColumns;
      Gemm gemm = block_of(whole, 0, rows, first, columns);
      gemm.c = logits;
      multiply_here(gemm, mine);
      for (int64_t r = 0; r < rows; ++r) {
        float* const row = logits + r * kTileColumns;
        apply_softcap(row, columns, softcap);
        bests[tile * rows + r] = temperature == 0 ? argmax(row, columns, first)
                                                  : gumbel_argmax(row, columns, first, temperature, seed, positions[r]);
      }
    });
    for (int64_t r = 0; r < rows; ++r) {
      Best best;
      for (int64_t tile = 0; tile < tiles(); ++tile) best.take(bests[tile * rows + r]);
      tokens[r] = best.id;
    }
  }
};

}  // namespace foretoken::cpu::FORETOKEN_ISA
