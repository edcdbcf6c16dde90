#include "csrc/cuda/fused_draw.cuh"

#include "csrc/cuda/gemm_skinny.cuh"
#include "csrc/cuda/gumbel.cuh"
#include "csrc/cuda/select.cuh"

namespace foretoken::cuda {
namespace {

// bests[row, strip] = the rank of the best entry of a strip of logits.
struct BestOfStrip {
  const float* bias;         // [vocab] or null
  const int32_t* positions;  // [rows]
  float softcap, temperature;
  uint64_t seed;
  int64_t strips;  // of a row
  Rank* bests;

  FORETOKEN_DEVICE bool wanted() const { return true; }

  template <typename Fragment>
  FORETOKEN_DEVICE void operator()(const Fragment& fragment) const {
#pragma unroll
    for (int i = 0; i < Fragment::kRows; ++i) {
      const bool has_row = fragment.has_row(i), is_noisy = temperature > 0 && has_row;
      const int32_t position = is_noisy ? positions[fragment.row(i)] : 0;
      Rank best = kNoRank;
#pragma unroll
      for (int j = 0; j < Fragment::kCols; j += 2) {
        const int64_t col = fragment.col(j);
        const PhiloxWords words = is_noisy ? noise_words(seed, position, col / kNoiseGroup) : PhiloxWords{};
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          if (!fragment.has_col(j + e)) continue;
          const float logit = bias ? __fadd_rn(fragment.at(i, j + e), bias[col + e]) : fragment.at(i, j + e);
          const float z = softcapped(logit, softcap);
          best = Max()(best,
                       draw_rank(is_noisy ? noisy(__fdiv_rn(z, temperature), word_of(words, col % kNoiseGroup + e)) : z,
                                 col + e));
        }
      }
      best = reduce_quad(best, Max());
      if (has_row && leads_quad()) bests[fragment.row(i) * strips + fragment.strip()] = best;
    }
  }
};

template <int kThreads>
__global__ void __launch_bounds__(kThreads) best_of_strips_kernel(const Rank* bests, int64_t strips, int32_t* tokens) {
  FORETOKEN_SHARED(Rank, shared, [kThreads / kWarp]);
  const int64_t row = blockIdx.x;
  Rank best = kNoRank;
  for_ranks<kThreads>(
      strips, [&](int64_t i) { return bests[row * strips + i]; }, [&](Rank rank) { best = Max()(best, rank); });
  best = reduce_block<kThreads>(best, Max(), kNoRank, shared);
  if (threadIdx.x == 0) tokens[row] = drawn_token(best);
}

}  // namespace

int64_t FusedDraw::workspace_bytes() const {
  return rows * strips_of<kStripOfRows>(vocab) * static_cast<int64_t>(sizeof(Rank));
}

void FusedDraw::run(const Context& context, void* workspace, const int32_t* positions, int32_t* tokens) const {
  const int64_t strips = strips_of<kStripOfRows>(vocab);
  auto* const bests = static_cast<Rank*>(workspace);
  const Gemm gemm = {.m = rows, .n = vocab, .k = dim, .a = {hidden, dtype, dim}, .b = {weight.data, weight.dtype, dim}};
  multiply_rows(context, gemm, BestOfStrip{bias, positions, softcap, temperature, seed, strips, bests});
  const auto merge = [&](auto threads) {
    launch(context, best_of_strips_kernel<threads()>, dim3(static_cast<unsigned>(rows)), dim3(threads()), 0, bests,
           strips, tokens);
  };
  if (strips <= 8 * kWarp) merge(std::integral_constant<int, kWarp>());
  else merge(std::integral_constant<int, 256>());
}

}  // namespace foretoken::cuda
