// The likeliest drafts of each row, with the noise of the draw at the same position, and how sure the drafter is of
// each. A row is cut into parts. A part is read once, for its best entries and its share of the softmax.
#include "csrc/cpu/indices.h"
#include "csrc/cpu/kernels.h"
#include "csrc/cpu/sampling/best_entries.h"

namespace foretoken::cpu::FORETOKEN_ISA {
namespace {

constexpr int64_t kPartTokens = 1 << 14;  // enough work for a part
constexpr int64_t kBlock = 256;           // columns whose scores are computed at a time
static_assert(kPartTokens % kBlock == 0 && kBlock % kNoiseRun == 0);

constexpr float kInfinity = __builtin_inff(), kLargestFloat = 0x1.fffffep127f;

// Σ e^(x - top) over some scores x. Infinite scores count as the largest float, so that they share the whole
// probability. If all scores are -inf, the total is 0.
struct SoftmaxSum {
  float top = -kLargestFloat;
  double total = 0;

  float weight_of(float score) const { return total > 0 ? static_cast<float>(term(score) / total) : 0; }

  void add(const SoftmaxSum& other) {
    raise(other.top);
    total += other.total * term(other.top);
  }

  void add(const float* scores, int64_t count) {
    Vec most = broadcast(-kInfinity), sums = {};
    for_vectors(scores, count, [&](int64_t, Vec x) { most = max(most, x); });
    raise(largest(most));
    for_vectors(scores, count, [&](int64_t, Vec x) { sums += terms(x); });
    total += static_cast<double>(sum(sums));
  }

 private:
  Vec terms(Vec scores) const { return exp(min(broadcast(kLargestFloat), scores) - top); }
  double term(float score) const { return static_cast<double>(terms(broadcast(score))[0]); }

  void raise(float score) {
    if (!(score > top)) return;
    const float before = top;
    top = score < kLargestFloat ? score : kLargestFloat;
    total *= term(before);
  }
};

// How the columns of a row are scored, as the draw for `position` does it.
struct Scoring {
  const int32_t* ids;
  SamplingOptions options;
  LogitBias bias;
  int32_t position;

  Scoring(const ProposeTokensArgs& args, int64_t row)
      : ids(args.ids),
        options(options_of(args.sampling, row / args.depth)),
        bias(bias_of(args.sampling, row / args.depth)),
        position(position_of(args, row)) {}

  // The column of a token among columns first … first + count - 1, counted from `first`; otherwise some other number.
  int64_t column_of(int32_t token, int64_t first, int64_t count) const {
    if (!ids) return token - first;
    int64_t low = 0, high = count;
    while (low < high) {
      const int64_t middle = (low + high) / 2;
      if (ids[first + middle] < token) low = middle + 1;
      else high = middle;
    }
    return low < count && ids[first + low] == token ? low : -1;
  }

  // Computes the noise of columns first … first + count - 1.
  void noise(int64_t first, int64_t count, float* noise) const {
    if (ids) {
      for (int64_t i = 0; i < count; i += kLanes) {
        gumbel_noise_of(options.seed, position, ids + first + i, lanes_of(count - i), noise + i);
      }
    } else {
      for (int64_t i = 0; i < count; i += kNoiseRun) gumbel_noise(options.seed, position, first + i, noise + i);
    }
  }

  // Computes the scores of columns first … first + count - 1, given their logits: z / T + noise, or z if T is 0, but
  // -inf instead of NaN. `scores` has room for kBlock.
  void score(const float* logits, int64_t first, int64_t count, float* scores) const {
    float biased[kBlock];
    if (bias.count > 0) {
      copy_floats(biased, logits, count);
      for (int64_t i = 0; i < bias.count; ++i) {
        const int64_t at = column_of(bias.tokens[i], first, count);
        if (at >= 0 && at < count) biased[at] += bias.values[i];
      }
      logits = biased;
    }
    const float temperature = options.temperature;
    if (temperature > 0) noise(first, count, scores);
    for_vectors(logits, count, [&](int64_t i, Vec z) {
      const Vec x = temperature > 0 ? z / temperature + load(scores + i) : z;
      store(scores + i, x == x ? x : broadcast(-kInfinity));
    });
  }
};

// The workspace: the softmax sums of the parts of each row, then their best entries.
struct Parts {
  explicit Parts(const ProposeTokensArgs& args)
      : vocab(args.vocab),
        count(divide_up(args.vocab, kPartTokens)),
        most(smaller(args.k, kPartTokens)),
        sum_bytes(bytes_of<SoftmaxSum>(args.rows * count)),
        value_bytes(bytes_of<float>(args.rows * count * most)),
        bytes(sum_bytes + value_bytes + bytes_of<int32_t>(args.rows * count * most)),
        base(static_cast<char*>(args.workspace.data)) {}

  SoftmaxSum* sums() const { return reinterpret_cast<SoftmaxSum*>(base); }                        // [rows, count]
  float* values() const { return reinterpret_cast<float*>(base + sum_bytes); }                    // [rows, count, most]
  int32_t* tokens() const { return reinterpret_cast<int32_t*>(base + sum_bytes + value_bytes); }  // the same

  int64_t first_of(int64_t part) const { return part % count * kPartTokens; }
  int64_t tokens_of(int64_t part) const { return smaller(kPartTokens, vocab - first_of(part)); }
  // The number of best entries of a part.
  int64_t best_of(int64_t part) const { return smaller(most, tokens_of(part)); }

  const int64_t vocab;
  const int64_t count;  // of a row
  const int64_t most;   // best entries of a part
  const int64_t sum_bytes, value_bytes, bytes;
  char* const base;
};

void read_part(const ProposeTokensArgs& args, const Parts& parts, int64_t part) {
  const int64_t row = part / parts.count, begin = parts.first_of(part), end = begin + parts.tokens_of(part);
  const Scoring scoring(args, row);
  BestEntries best(parts.values() + part * parts.most, parts.tokens() + part * parts.most, parts.best_of(part));
  SoftmaxSum sum;
  float scores[kBlock];
  for (int64_t first = begin; first < end; first += kBlock) {
    const int64_t count = smaller(kBlock, end - first);
    scoring.score(args.logits + row * args.vocab + first, first, count, scores);
    best.take_all(scores, count, first);
    sum.add(scores, count);
  }
  best.sort();
  parts.sums()[part] = sum;
}

// Chooses the best entries of all parts of a row.
void finish_row(const ProposeTokensArgs& args, const Parts& parts, int64_t row) {
  float* const weights = args.weights + row * args.k;
  BestEntries best(weights, args.tokens + row * args.k, args.k);
  SoftmaxSum sum;
  for (int64_t part = row * parts.count; part < (row + 1) * parts.count; ++part) {
    sum.add(parts.sums()[part]);
    const int64_t first = part * parts.most;
    for (int64_t i = first; i < first + parts.best_of(part); ++i) best.take(parts.values()[i], parts.tokens()[i]);
  }
  best.sort();
  for (int64_t i = 0; i < args.k; ++i) {
    weights[i] = sum.weight_of(weights[i]);
    if (args.ids) best.indices[i] = args.ids[best.indices[i]];
  }
}

}  // namespace

int64_t workspace(const ProposeTokensArgs& args, const Context&) { return Parts(args).bytes; }

void run(const ProposeTokensArgs& args, const Context& context) {
  const Parts parts(args);
  parallel(context, args.rows * parts.count, [&](int64_t part, int) { read_part(args, parts, part); });
  for (int64_t row = 0; row < args.rows; ++row) finish_row(args, parts, row);
}

}  // namespace foretoken::cpu::FORETOKEN_ISA
