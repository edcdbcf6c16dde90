// Fuses the unembedding with draws that are a running argmax (greedy and temperature only). The epilogue of the matrix
// product finds the best entry of each strip of logits in registers; no logits exist in memory, only one rank for each
// row and strip. The product gives each logit the bits that it has in a whole row, so the draw is that of plain
// decoding.
#pragma once

#include "csrc/core/sampling.h"
#include "csrc/cuda/linear/gemm_skinny.cuh"
#include "csrc/cuda/sampling/gumbel.cuh"
#include "csrc/cuda/sampling/select.cuh"

namespace foretoken::cuda {

struct FusedDraw : foretoken::FusedDraw {
  using foretoken::FusedDraw::FusedDraw;

  int64_t strips() const { return strips_of<kStripOfRows>(vocab); }
  int64_t workspace_bytes() const { return rows * strips() * static_cast<int64_t>(sizeof(Rank)); }
  Gemm product() const {
    return {.m = rows, .n = vocab, .k = dim, .a = {hidden, dtype, dim}, .b = {weight.data, weight.dtype, dim}};
  }
};

// The epilogue: bests[row, strip] = the rank of the best entry of a strip of logits. draw_of(row) is a RowDraw.
template <typename DrawOf>
struct BestOfStrip {
  BestOfStrip(const FusedDraw& draw, DrawOf draw_of, void* workspace)
      : bias(draw.bias),
        mask(draw.mask),
        mask_stride(mask_words(draw.vocab)),
        softcap(draw.softcap),
        strips(draw.strips()),
        draw_of(draw_of),
        bests(static_cast<Rank*>(workspace)) {}

  const float* bias;     // [vocab] or null
  const uint32_t* mask;  // [rows, mask_stride] or null
  int64_t mask_stride;
  float softcap;
  int64_t strips;  // of a row
  DrawOf draw_of;
  Rank* bests;

  using Hooks = HookList<>;

  FORETOKEN_DEVICE bool wanted() const { return true; }

  template <typename Fragment>
  FORETOKEN_DEVICE void operator()(const Fragment& fragment) const {
#pragma unroll
    for (int i = 0; i < Fragment::kRows; ++i) {
      const bool has_row = fragment.has_row(i);
      const RowDraw draw = has_row ? draw_of(fragment.row(i)) : RowDraw{};
      const bool is_noisy = draw.temperature > 0;
      const uint32_t* const mask_of_row = has_row && mask ? mask + fragment.row(i) * mask_stride : nullptr;
      Rank best = kNoRank;
#pragma unroll
      for (int j = 0; j < Fragment::kCols; j += 2) {
        const int64_t col = fragment.col(j);
        const PhiloxWords words = is_noisy ? noise_words(draw.seed, draw.position, col / kNoiseGroup) : PhiloxWords{};
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          if (!fragment.has_col(j + e) || (mask_of_row && !may_draw(mask_of_row, col + e))) continue;
          const float logit = bias ? __fadd_rn(fragment.at(i, j + e), bias[col + e]) : fragment.at(i, j + e);
          const float z = softcapped(logit, softcap);
          best = Max()(
              best,
              draw_rank(is_noisy ? noisy(__fdiv_rn(z, draw.temperature), word_of(words, col % kNoiseGroup + e)) : z,
                        col + e));
        }
      }
      best = reduce_quad(best, Max());
      if (has_row && leads_quad()) bests[fragment.row(i) * strips + fragment.strip()] = best;
    }
  }
};

// The token that a row draws, or kNoToken, in all threads of the block. `shared` has room for one element a warp.
template <int kThreads>
FORETOKEN_DEVICE int32_t draw_of_row(const Rank* bests, int64_t strips, int64_t row, Rank* shared) {
  Rank best = kNoRank;
  for_ranks<kThreads, 16>(
      strips, [&](int64_t i) { return bests[row * strips + i]; }, [&](Rank rank) { best = Max()(best, rank); });
  return index_of(reduce_block<kThreads>(best, Max(), kNoRank, shared));
}

}  // namespace foretoken::cuda
