// The likeliest drafts of each row, with the noise of the draw at the same position, and how sure the drafter is of
// each: scores of all tokens and sums of their exponentials, part by part; then the best scores, and their weights.
#include <algorithm>

#include "csrc/cuda/common/reduce.cuh"
#include "csrc/cuda/kernels.h"
#include "csrc/cuda/sampling/gumbel.cuh"

namespace foretoken::cuda {
namespace {

constexpr int kThreads = 256, kGroupsEach = 4;
constexpr int64_t kPartTokens = kThreads * kGroupsEach * kNoiseGroup;
constexpr float kLargestFloat = 0x1.fffffep127f;

// Σ e^(x - top) over the scores x of a part.
struct SoftmaxSum {
  float top, total;
};

// e^(score - top). Infinite scores count as the largest float, so that they share the whole probability.
FORETOKEN_DEVICE float term(float score, float top) { return exp(__fsub_rn(Min()(score, kLargestFloat), top)); }

// The column of a token, or -1 if it has none.
FORETOKEN_DEVICE int64_t column_of(const ProposeTokensArgs& args, int32_t token) {
  if (args.ids == nullptr) return token;
  int64_t low = 0, high = args.vocab;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (args.ids[middle] < token) low = middle + 1;
    else high = middle;
  }
  return low < args.vocab && args.ids[low] == token ? low : -1;
}

// Writes the biases of the columns of a part, whose first column is `first`. Called by one block.
FORETOKEN_DEVICE void spread_bias(const ProposeTokensArgs& args, const LogitBias& bias, int64_t first,
                                  float (&spread)[kPartTokens]) {
  for (int64_t i = threadIdx.x; i < kPartTokens; i += kThreads) spread[i] = 0;
  __syncthreads();
  for (int64_t i = threadIdx.x; i < bias.count; i += kThreads) {
    const int64_t at = column_of(args, bias.tokens[i]) - first;
    if (at >= 0 && at < kPartTokens) spread[at] = bias.values[i];
  }
  __syncthreads();
}

// scores[row, column] = what a draw compares: z / T + noise, or z if T is 0, but -inf instead of NaN. A block computes
// one part of a row after the other.
__global__ void __launch_bounds__(kThreads, 4)
    score_kernel(ProposeTokensArgs args, int64_t parts, float* scores, SoftmaxSum* sums) {
  FORETOKEN_SHARED(float, shared, [kThreads / kWarp]);
  FORETOKEN_SHARED(float, spread, [kPartTokens]);
  for (int64_t part = blockIdx.x; part < args.rows * parts; part += gridDim.x) {
    const int64_t row = part / parts, first = part % parts * kPartTokens;
    const SamplingOptions options = options_of(args.sampling, row / args.depth);
    const LogitBias bias = bias_of(args.sampling, row / args.depth);
    if (bias.count > 0) spread_bias(args, bias, first, spread);
    float own[kGroupsEach][kNoiseGroup];
    float top = -kLargestFloat;
#pragma unroll
    for (int g = 0; g < kGroupsEach; ++g) {
      const int64_t at = (g * kThreads + threadIdx.x) * kNoiseGroup;
      const bool is_noisy = options.temperature > 0 && first + at < args.vocab;
      const PhiloxWords words = is_noisy && args.ids == nullptr
                                    ? noise_words(options.seed, position_of(args, row), (first + at) / kNoiseGroup)
                                    : PhiloxWords{};
#pragma unroll
      for (int i = 0; i < kNoiseGroup; ++i) {
        const int64_t column = first + at + i;
        own[g][i] = -__builtin_inff();
        if (column >= args.vocab) continue;
        float x = args.logits[row * args.vocab + column];
        if (bias.count > 0) x = __fadd_rn(x, spread[at + i]);
        if (is_noisy) {
          const uint32_t word = args.ids == nullptr
                                    ? words.words[i]
                                    : word_of_token(options.seed, position_of(args, row), args.ids[column]);
          x = noisy(__fdiv_rn(x, options.temperature), word);
        }
        if (x == x) own[g][i] = x;
        scores[row * args.vocab + column] = own[g][i];
        top = Max()(top, own[g][i]);
      }
    }
    top = Min()(reduce_block<kThreads>(top, Max(), -kLargestFloat, shared), kLargestFloat);
    float total = 0;
#pragma unroll
    for (int g = 0; g < kGroupsEach; ++g) {
#pragma unroll
      for (int i = 0; i < kNoiseGroup; ++i) total += term(own[g][i], top);
    }
    total = reduce_block<kThreads>(total, Sum(), 0.0f, shared);
    if (threadIdx.x == 0) sums[part] = {top, total};
  }
}

// Replaces the scores of the best columns by their weights, and the columns by their tokens. A block handles one row
// after the other.
__global__ void __launch_bounds__(kThreads, 4)
    weights_kernel(ProposeTokensArgs args, int64_t parts, const SoftmaxSum* sums) {
  FORETOKEN_SHARED(float, shared, [kThreads / kWarp]);
  for (int64_t row = blockIdx.x; row < args.rows; row += gridDim.x) {
    float top = -kLargestFloat, total = 0;
    for (int64_t i = threadIdx.x; i < parts; i += kThreads) top = Max()(top, sums[row * parts + i].top);
    top = reduce_block<kThreads>(top, Max(), -kLargestFloat, shared);
    for (int64_t i = threadIdx.x; i < parts; i += kThreads) {
      const SoftmaxSum sum = sums[row * parts + i];
      total += __fmul_rn(sum.total, term(sum.top, top));
    }
    total = reduce_block<kThreads>(total, Sum(), 0.0f, shared);
    for (int64_t i = threadIdx.x; i < args.k; i += kThreads) {
      float& weight = args.weights[row * args.k + i];
      weight = total > 0 ? __fdiv_rn(term(weight, top), total) : 0;
      int32_t& token = args.tokens[row * args.k + i];
      if (args.ids != nullptr) token = args.ids[token];
    }
  }
}

// The workspace: the scores of all columns, the softmax sums of all parts, and the workspace of TopK.
struct Memory {
  Memory(const ProposeTokensArgs& args, const Context& context)
      : parts(divide_up(args.vocab, kPartTokens)),
        score_bytes(round_up(args.rows * args.vocab * static_cast<int64_t>(sizeof(float)), kAlignment)),
        sum_bytes(round_up(args.rows * parts * static_cast<int64_t>(sizeof(SoftmaxSum)), kAlignment)),
        base(static_cast<char*>(args.workspace.data)),
        top_k{scores(), args.tokens, args.weights, args.rows, args.vocab, args.k, {}} {
    top_k.workspace.bytes = workspace(top_k, context);
    if (base != nullptr) top_k.workspace.data = base + score_bytes + sum_bytes;
  }

  float* scores() const { return reinterpret_cast<float*>(base); }
  SoftmaxSum* sums() const { return reinterpret_cast<SoftmaxSum*>(base + score_bytes); }
  int64_t bytes() const { return score_bytes + sum_bytes + top_k.workspace.bytes; }

  static constexpr int64_t kAlignment = 16;

  int64_t parts;  // of a row
  int64_t score_bytes, sum_bytes;
  char* base;
  TopKArgs top_k;
};

unsigned blocks(const Context& context, int64_t items) {
  constexpr int64_t kBlocksEach = 8;  // blocks a multiprocessor
  return static_cast<unsigned>(std::min(items, kBlocksEach * context.multiprocessors));
}

}  // namespace

int64_t workspace(const ProposeTokensArgs& args, const Context& context) { return Memory(args, context).bytes(); }

void run(const ProposeTokensArgs& args, const Context& context) {
  const Memory memory(args, context);
  launch(context, score_kernel, dim3(blocks(context, args.rows * memory.parts)), dim3(kThreads), 0, args, memory.parts,
         memory.scores(), memory.sums());
  run(memory.top_k, context);
  launch(context, weights_kernel, dim3(blocks(context, args.rows)), dim3(kThreads), 0, args, memory.parts,
         memory.sums());
}

}  // namespace foretoken::cuda
