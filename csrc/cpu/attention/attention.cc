// Causal self-attention of training, over packed documents. One part of the work is one key/value head of one sequence,
// so that one thread adds its gradients of keys and values, in one order.
#include "csrc/cpu/attention/attention_tiles.h"
#include "csrc/cpu/kernels.h"
#include "csrc/cpu/sizes.h"

namespace foretoken::cpu::FORETOKEN_ISA {
namespace {

int64_t row_floats(const AttentionShape& shape) { return (shape.heads + 2 * shape.kv_heads) * shape.head_dim; }

// Hands out consecutive pieces of one thread's scratch. With a null base it only counts.
class Pieces {
 public:
  explicit Pieces(float* base) : base_(base) {}
  float* take(int64_t floats) {
    float* const piece = base_ ? base_ + used_ : nullptr;
    used_ += cache_lines<float>(floats);
    return piece;
  }
  int64_t used() const { return used_; }

 private:
  float* const base_;
  int64_t used_ = 0;
};

struct ForwardScratch {
  ForwardScratch(int64_t length, int64_t dim, Pieces& pieces)
      : score_stride(groups_of(length) * kGroup),
        keys(pieces.take(score_stride * dim)),
        values(pieces.take(length * dim)),
        queries(pieces.take(kQueryBlock * dim)),
        sums(pieces.take(kQueryBlock * dim)),
        scores(pieces.take(kQueryBlock * score_stride)) {}

  const int64_t score_stride;
  float* const keys;     // [length / kGroup][dim][kGroup], rounded up to whole groups
  float* const values;   // [length, dim]
  float* const queries;  // [kQueryBlock, dim], times the scale
  float* const sums;     // [kQueryBlock, dim]
  float* const scores;   // [kQueryBlock, score_stride]
};

struct BackwardScratch {
  BackwardScratch(int64_t length, int64_t dim, Pieces& pieces)
      : score_stride(groups_of(length) * kGroup),
        keys(pieces.take(score_stride * dim)),
        values(pieces.take(score_stride * dim)),
        key_rows(pieces.take(length * dim)),
        grad_keys(pieces.take(length * dim)),
        grad_values(pieces.take(length * dim)),
        queries(pieces.take(kQueryBlock * dim)),
        grad_out(pieces.take(kQueryBlock * dim)),
        grad_queries(pieces.take(kQueryBlock * dim)),
        weights(pieces.take(kQueryBlock * score_stride)),
        grad_scores(pieces.take(kQueryBlock * score_stride)) {}

  const int64_t score_stride;
  float* const keys;          // [length / kGroup][dim][kGroup], rounded up to whole groups
  float* const values;        // as keys
  float* const key_rows;      // [length, dim]
  float* const grad_keys;     // [length, dim]
  float* const grad_values;   // [length, dim]
  float* const queries;       // [kQueryBlock, dim], times the scale
  float* const grad_out;      // [kQueryBlock, dim]
  float* const grad_queries;  // [kQueryBlock, dim], not yet times the scale
  float* const weights;       // [kQueryBlock, score_stride]: results of softmax
  float* const grad_scores;   // [kQueryBlock, score_stride]
};

template <typename Scratch>
int64_t thread_floats(int64_t length, int64_t dim) {
  Pieces pieces(nullptr);
  Scratch(length, dim, pieces);
  return pieces.used();
}

template <typename Scratch, typename Args>
int64_t workspace_bytes(const Args& args, const Context& context) {
  return bytes_of<float>(context.threads * thread_floats<Scratch>(args.length, args.shape.head_dim));
}

// Calls body(sequence, kv_head, scratch) for every key/value head of every sequence, in parallel.
template <typename Scratch, typename Args, typename F>
void for_each_kv_head(const Args& args, const Context& context, F body) {
  const int64_t dim = args.shape.head_dim;
  const int64_t floats = thread_floats<Scratch>(args.length, dim);
  parallel(context, args.batch * args.shape.kv_heads, [&](int64_t part, int thread) {
    Pieces pieces(static_cast<float*>(args.workspace.data) + thread * floats);
    body(part / args.shape.kv_heads, part % args.shape.kv_heads, Scratch(args.length, dim, pieces));
  });
}

bool starts_are_valid(const int32_t* starts, int64_t batch, int64_t length, const char* op, const Context& context) {
  for (int64_t sequence = 0; sequence < batch; ++sequence) {
    for (int64_t t = 0; t < length; ++t) {
      const int64_t i = sequence * length + t;
      if (starts[i] >= 0 && starts[i] <= t) continue;
      report_index(context, op, "starts", i, starts[i], t + 1);
      return false;
    }
  }
  return true;
}

// The first keys that the positions of one sequence attend to.
struct Starts {
  const int32_t* documents;
  int64_t window;

  int64_t of(int64_t position) const { return larger(documents[position], position - window + 1); }
};

// Consecutive positions of one sequence, and the range of keys that any of them attends to, from the start of a group.
struct Block {
  Block(const Starts& starts, int64_t length, int64_t first)
      : first(first), rows(smaller(kQueryBlock, length - first)) {
    int64_t lowest = starts.of(first);
    for (int64_t i = 1; i < rows; ++i) lowest = smaller(lowest, starts.of(first + i));
    base = lowest / kGroup * kGroup;
    keys = first + rows - base;
    groups = groups_of(keys);
  }

  const int64_t first, rows;
  int64_t base, keys, groups;
};

void copy_rows(const float* in, int64_t stride, int64_t rows, int64_t dim, float factor, float* out) {
  for (int64_t i = 0; i < rows; ++i) scale_row(in + i * stride, factor, dim, out + i * dim);
}

float dot(const float* a, const float* b, int64_t dim) {
  Vec total{};
  int64_t i = 0;
  for (; i + kLanes <= dim; i += kLanes) total = fma(load(a + i), load(b + i), total);
  const int left = static_cast<int>(dim - i);
  return sum(fma(load_n(a + i, left), load_n(b + i, left), total));
}

void attend(const AttentionArgs& args, int64_t sequence, int64_t kv_head, const ForwardScratch& scratch) {
  const auto [heads, kv_heads, dim, scale, window] = args.shape;
  const int64_t length = args.length, stride = row_floats(args.shape), group = heads / kv_heads;
  const float* const qkv = as_floats(args.qkv) + sequence * length * stride;
  const float* const keys = qkv + (heads + kv_head) * dim;
  const Starts starts{args.starts + sequence * length, window};
  group_keys(keys, stride, length, dim, scratch.keys);
  copy_rows(keys + kv_heads * dim, stride, length, dim, 1, scratch.values);

  for (int64_t head = kv_head * group; head < (kv_head + 1) * group; ++head) {
    for (int64_t first = 0; first < length; first += kQueryBlock) {
      const Block block(starts, length, first);
      copy_rows(qkv + first * stride + head * dim, stride, block.rows, dim, scale, scratch.queries);
      dot_keys(scratch.queries, block.rows, dim, scratch.keys + block.base * dim, block.groups, scratch.scores,
               scratch.score_stride);
      float sums[kQueryBlock];
      for (int64_t i = 0; i < block.rows; ++i) {
        const int64_t row = first + i, begin = starts.of(row) - block.base, end = row + 1 - block.base;
        float* const scores = scratch.scores + i * scratch.score_stride;
        const float largest = row_max(scores, begin, end);
        sums[i] = exponentiate(scores, begin, end, block.groups * kGroup, largest);
        args.lse[(sequence * length + row) * heads + head] = largest + log(broadcast(sums[i]))[0];
      }
      for (int64_t i = 0; i < block.rows * dim; ++i) scratch.sums[i] = 0;
      add_weighted({block.rows, block.keys, dim, scratch.scores, scratch.score_stride,
                    scratch.values + block.base * dim, scratch.sums});
      float* const out = as_floats(args.out) + ((sequence * length + first) * heads + head) * dim;
      for (int64_t i = 0; i < block.rows; ++i) {
        scale_row(scratch.sums + i * dim, 1.0f / sums[i], dim, out + i * heads * dim);
      }
    }
  }
}

// With P = softmax(S), S = scale Q K^T, O = P V and D = the row sums of dO * O:
//   dV = P^T dO,   dS = P * (dO V^T - D),   dQ = scale dS K,   dK = scale dS^T Q.
void attend_backward(const AttentionBackwardArgs& args, int64_t sequence, int64_t kv_head,
                     const BackwardScratch& scratch) {
  const auto [heads, kv_heads, dim, scale, window] = args.shape;
  const int64_t length = args.length, stride = row_floats(args.shape), group = heads / kv_heads;
  const int64_t score_stride = scratch.score_stride;
  const float* const qkv = as_floats(args.qkv) + sequence * length * stride;
  float* const grad_qkv = as_floats(args.grad_qkv) + sequence * length * stride;
  const float *const out = as_floats(args.out), *const grad_out = as_floats(args.grad_out);
  const int64_t key_column = (heads + kv_head) * dim, value_column = key_column + kv_heads * dim;
  const Starts starts{args.starts + sequence * length, window};
  group_keys(qkv + key_column, stride, length, dim, scratch.keys);
  group_keys(qkv + value_column, stride, length, dim, scratch.values);
  copy_rows(qkv + key_column, stride, length, dim, 1, scratch.key_rows);
  for (int64_t i = 0; i < length * dim; ++i) scratch.grad_keys[i] = scratch.grad_values[i] = 0;

  for (int64_t head = kv_head * group; head < (kv_head + 1) * group; ++head) {
    for (int64_t first = 0; first < length; first += kQueryBlock) {
      const Block block(starts, length, first);
      const int64_t out_row = (sequence * length + first) * heads + head;
      copy_rows(qkv + first * stride + head * dim, stride, block.rows, dim, scale, scratch.queries);
      copy_rows(grad_out + out_row * dim, heads * dim, block.rows, dim, 1, scratch.grad_out);
      dot_keys(scratch.queries, block.rows, dim, scratch.keys + block.base * dim, block.groups, scratch.weights,
               score_stride);
      dot_keys(scratch.grad_out, block.rows, dim, scratch.values + block.base * dim, block.groups, scratch.grad_scores,
               score_stride);
      for (int64_t i = 0; i < block.rows; ++i) {
        const int64_t row = first + i, begin = starts.of(row) - block.base, end = row + 1 - block.base;
        const float delta = dot(scratch.grad_out + i * dim, out + (out_row + i * heads) * dim, dim);
        float* const weights = scratch.weights + i * score_stride;
        float* const grad_scores = scratch.grad_scores + i * score_stride;
        exponentiate(weights, begin, end, block.groups * kGroup, args.lse[out_row + i * heads]);
        for (int64_t j = 0; j < block.keys; ++j) {
          grad_scores[j] = j < begin || j >= end ? 0.0f : weights[j] * (grad_scores[j] - delta);
        }
      }
      add_weighted_transposed({block.keys, block.rows, dim, scratch.weights, score_stride, scratch.grad_out,
                               scratch.grad_values + block.base * dim});
      add_weighted_transposed({block.keys, block.rows, dim, scratch.grad_scores, score_stride, scratch.queries,
                               scratch.grad_keys + block.base * dim});
      for (int64_t i = 0; i < block.rows * dim; ++i) scratch.grad_queries[i] = 0;
      add_weighted({block.rows, block.keys, dim, scratch.grad_scores, score_stride, scratch.key_rows + block.base * dim,
                    scratch.grad_queries});
      for (int64_t i = 0; i < block.rows; ++i) {
        scale_row(scratch.grad_queries + i * dim, scale, dim, grad_qkv + (first + i) * stride + head * dim);
      }
    }
  }
  for (int64_t i = 0; i < length; ++i) {
    scale_row(scratch.grad_keys + i * dim, 1, dim, grad_qkv + i * stride + key_column);
    scale_row(scratch.grad_values + i * dim, 1, dim, grad_qkv + i * stride + value_column);
  }
}

}  // namespace

int64_t workspace(const AttentionArgs& args, const Context& context) {
  return workspace_bytes<ForwardScratch>(args, context);
}

void run(const AttentionArgs& args, const Context& context) {
  if (!starts_are_valid(args.starts, args.batch, args.length, "attention", context)) return;
  for_each_kv_head<ForwardScratch>(args, context,
                                   [&](int64_t sequence, int64_t kv_head, const ForwardScratch& scratch) {
                                     attend(args, sequence, kv_head, scratch);
                                   });
}

int64_t workspace(const AttentionBackwardArgs& args, const Context& context) {
  return workspace_bytes<BackwardScratch>(args, context);
}

void run(const AttentionBackwardArgs& args, const Context& context) {
  if (!starts_are_valid(args.starts, args.batch, args.length, "attentionBackward", context)) return;
  for_each_kv_head<BackwardScratch>(args, context,
                                    [&](int64_t sequence, int64_t kv_head, const BackwardScratch& scratch) {
                                      attend_backward(args, sequence, kv_head, scratch);
                                    });
}

}  // namespace foretoken::cpu::FORETOKEN_ISA
