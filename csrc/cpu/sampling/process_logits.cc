#include "csrc/cpu/sampling/process_logits.h"

#include "csrc/cpu/sampling/draw.h"
#include "csrc/cpu/sizes.h"

namespace foretoken::cpu::FORETOKEN_ISA {
namespace {

constexpr float kInfinity = __builtin_inff();

// Number of entries that are added in float32 before their sum is added in float64.
constexpr int64_t kBlock = 1024;

void apply_penalties(float* logits, int64_t vocab, const SamplingOptions& options, const SeenTokens& seen) {
  for (int64_t v = 0; v < vocab; ++v) {
    const int32_t count = seen.counts[v];
    if (count < 0) continue;
    float z = logits[v];
    z = z > 0 ? z / options.repetition_penalty : z * options.repetition_penalty;
    logits[v] = z - options.frequency_penalty * static_cast<float>(count) - (count > 0 ? options.presence_penalty : 0);
  }
}

// Maps floats to integers of the same order, and back; -0 and 0 are equal.
int32_t ordered(float x) {
  int32_t bits;
  __builtin_memcpy(&bits, &x, sizeof bits);
  return bits < 0 ? INT32_MIN - bits : bits;
}

float from_ordered(int32_t order) {
  const int32_t bits = order < 0 ? INT32_MIN - order : order;
  float x;
  __builtin_memcpy(&x, &bits, sizeof x);
  return x;
}

// Σ weights[v] over the entries z[v] ≥ threshold, or their number if weights is null. Rounding is monotone and the
// order of the additions is fixed, so a lower threshold never gives a smaller sum.
double weight_above(const float* z, const float* weights, int64_t count, float threshold) {
  double total = 0;
  for (int64_t block = 0; block < count; block += kBlock) {
    const int64_t size = smaller(kBlock, count - block);
    Vec sums = {};
    for_vectors(z + block, size, [&](int64_t i, Vec values) {
      const int64_t left = size - i;
      const Vec weight = weights == nullptr ? broadcast(1.0f)
                         : left < kLanes    ? load_n(weights + block + i, static_cast<int>(left))
                                            : load(weights + block + i);
      sums += as_float(as_int(weight) & (values >= threshold));
    });
    total += static_cast<double>(sum(sums));
  }
  return total;
}

// Keeps the largest entries, as few as have a weight of `enough` together; of equal entries, those with the lowest ids.
// Sets the others to -inf.
void keep_largest(float* z, const float* weights, int64_t count, double enough) {
  // Bisects the 2^32 floats for the largest threshold whose entries have enough weight; those from `high` on never
  // have. NaN is above all thresholds and fails every comparison.
  int64_t low = ordered(-kInfinity) + 1, high = int64_t{ordered(kInfinity)} + 1;
  double above = 0;  // weight of the entries from `high` on
  while (high - low > 1) {
    const int64_t middle = low + (high - low) / 2;
    const double weight = weight_above(z, weights, count, from_ordered(static_cast<int32_t>(middle)));
    if (weight >= enough) {
      low = middle;
    } else {
      high = middle;
      above = weight;
    }
  }
  const float threshold = from_ordered(static_cast<int32_t>(low));
  double left = enough - above;
  for (int64_t v = 0; v < count; ++v) {
    if (z[v] > threshold) continue;
    if (z[v] == threshold && left > 0) {
      left -= weights == nullptr ? 1.0 : static_cast<double>(weights[v]);
    } else {
      z[v] = -kInfinity;
    }
  }
}

void keep_top_p(float* z, float* weights, int64_t vocab, float top_p, float largest) {
  for (int64_t v = 0; v < vocab; v += kLanes) {
    const int lanes = lanes_of(vocab - v);
    store_n(weights + v, exp(load_n(z + v, lanes) - largest), lanes);
  }
  const double enough = weight_above(z, weights, vocab, -kInfinity) * static_cast<double>(top_p);
  keep_largest(z, weights, vocab, enough > 1 ? enough : 1);  // 1 is the weight of the most probable token
}

void keep_min_p(float* z, int64_t vocab, float min_p, float largest) {
  const float lowest = largest + log(broadcast(min_p))[0];
  for (int64_t v = 0; v < vocab; ++v) {
    if (!(z[v] >= lowest)) z[v] = -kInfinity;
  }
}

void apply_filters(float* z, float* weights, int64_t vocab, const SamplingOptions& options) {
  if (options.top_k > 0 && options.top_k < vocab) keep_largest(z, nullptr, vocab, options.top_k);
  const float largest = argmax(z, vocab, 0).value;
  if (largest == kInfinity || largest == -kInfinity) return;  // probabilities are undefined
  if (options.top_p < 1) keep_top_p(z, weights, vocab, options.top_p, largest);
  if (options.min_p > 0) keep_min_p(z, vocab, options.min_p, largest);
}

// Returns the token with the largest z + noise. Computes noise only for runs with an entry left to draw.
int32_t draw_with_noise(const float* z, int64_t vocab, uint64_t seed, int32_t position) {
  float noise[kNoiseRun] = {};
  bool made = false;
  return best_of(z, vocab, 0,
                 [&](int64_t i, Vec values) {
                   const int64_t offset = i % kNoiseRun;
                   if (offset == 0) made = false;
                   if (!made && any(values > -kInfinity)) {
                     gumbel_noise(seed, position, i - offset, noise);
                     made = true;
                   }
                   return values + load(noise + offset);
                 })
      .id;
}

}  // namespace

int64_t RowScratch::bytes(int64_t vocab) { return bytes_of<float>(3 * cache_lines<float>(vocab)); }

RowScratch RowScratch::of_thread(void* memory, int64_t vocab, int thread) {
  const int64_t stride = cache_lines<float>(vocab);
  float* const begin = static_cast<float*>(memory) + thread * 3 * stride;
  return {begin, begin + stride, {reinterpret_cast<int32_t*>(begin + 2 * stride)}};
}

int32_t draw(const RowScratch& scratch, int64_t vocab, int32_t position, const SamplingOptions& options,
             const LogitBias& bias) {
  float* const z = scratch.logits;
  for (int64_t i = 0; i < bias.count; ++i) z[bias.tokens[i]] += bias.values[i];
  if (has_penalties(options)) apply_penalties(z, vocab, options, scratch.seen);
  if (options.temperature == 0) return argmax(z, vocab, 0).id;
  for (int64_t i = 0; i < vocab; i += kLanes) {
    const int lanes = lanes_of(vocab - i);
    store_n(z + i, load_n(z + i, lanes) / options.temperature, lanes);
  }
  if (has_filters(options)) apply_filters(z, scratch.weights, vocab, options);
  return draw_with_noise(z, vocab, options.seed, position);
}

}  // namespace foretoken::cpu::FORETOKEN_ISA
