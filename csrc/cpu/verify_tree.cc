// Verification of draft trees: draw at the root as plain decoding would, and while a child holds the drawn token step
// to it and draw there. Lossless for any draft, because what is drawn at a node depends on its path alone.
#include "csrc/core/tree.h"
#include "csrc/cpu/fused_draw.h"
#include "csrc/cpu/kernels.h"
#include "csrc/cpu/process_logits.h"

namespace foretoken::cpu::FORETOKEN_ISA {
namespace {

constexpr int64_t kNoCapacity = int64_t{1} << 31;

FusedDraw fused(const VerifyTreeArgs& args) {
  return {.hidden = args.hidden,
          .weight = args.weight,
          .bias = args.bias,
          .rows = args.tree.rows,
          .dim = args.dim,
          .vocab = args.vocab,
          .softcap = args.softcap,
          .temperature = args.options.temperature,
          .seed = args.options.seed};
}

// The workspace: draws and positions of all rows, the path of each sequence in tokens, then what the draws need.
struct Scratch {
  Scratch(const VerifyTreeArgs& args, const Context& context)
      : positions(static_cast<int32_t*>(args.workspace.data)),
        draws(positions + padded(args.tree.rows)),
        path_tokens(draws + padded(args.tree.rows)),
        rest(reinterpret_cast<float*>(path_tokens + padded(args.tree.rows))),
        bytes(3 * padded(args.tree.rows) * static_cast<int64_t>(sizeof(int32_t)) +
              (needs_logits(args.options, args.logit_bias)
                   ? (args.tree.rows * args.vocab + context.threads * gemm_scratch(args.tree.rows, args.dim) +
                      2 * args.vocab) *
                         static_cast<int64_t>(sizeof(float))
                   : fused(args).workspace_bytes(context))) {}

  static int64_t padded(int64_t count) { return (count + 15) / 16 * 16; }

  int32_t* const positions;    // of the token that each row draws
  int32_t* const draws;        // of each row, when they are fused
  int32_t* const path_tokens;  // tokens of the accepted path behind the root
  float* const rest;
  const int64_t bytes;
};

bool is_well_formed(const VerifyTreeArgs& args, const Context& context) {
  IndexProblem problem;
  if (find_problem(args.tree, kNoCapacity, &problem)) {
    report_problem(context, "verifyTree", problem);
    return false;
  }
  for (int64_t s = 0; s < args.tree.sequences; ++s) {
    const int64_t root = args.tree.row_offsets[s];
    if (root == args.tree.row_offsets[s + 1] || args.tree.parents[root] == -1) continue;
    report_problem(context, "verifyTree", {"parents", root, args.tree.parents[root], -1, -1, "a root has no parent"});
    return false;
  }
  return true;
}

void find_positions(const TreeRows& tree, int32_t* positions) {
  for (int64_t s = 0; s < tree.sequences; ++s) {
    for (int64_t r = tree.row_offsets[s]; r < tree.row_offsets[s + 1]; ++r) {
      const int32_t parent = tree.parents[r];
      positions[r] = parent < 0 ? tree.lengths[s] + 1 : positions[parent] + 1;
    }
  }
}

// The first child of `row` that holds `token`, or -1.
int64_t child_with(const TreeRows& tree, const int32_t* tokens, int64_t row, int64_t end, int32_t token) {
  for (int64_t child = row + 1; child < end; ++child) {
    if (tree.parents[child] == row && tokens[child] == token) return child;
  }
  return -1;
}

// draw_at(row, sequence, accepted rows behind the root so far)
template <typename DrawAt>
void walk(const VerifyTreeArgs& args, int64_t sequence, int32_t* path_tokens, DrawAt draw_at) {
  const TreeRows& tree = args.tree;
  const int64_t end = tree.row_offsets[sequence + 1];
  int32_t* const path = args.path + sequence * args.path_stride;
  int32_t* const drawn = args.drawn + sequence * args.path_stride;
  for (int64_t i = 0; i < args.path_stride; ++i) path[i] = drawn[i] = -1;
  int64_t count = 0;
  int64_t row = tree.row_offsets[sequence] < end ? tree.row_offsets[sequence] : -1;
  while (row >= 0 && count < args.path_stride) {
    path[count] = static_cast<int32_t>(row);
    if (count > 0) path_tokens[count - 1] = args.tokens[row];
    drawn[count] = draw_at(row, count);
    row = child_with(tree, args.tokens, row, end, drawn[count]);
    ++count;
  }
  args.counts[sequence] = static_cast<int32_t>(count);
}

void verify_fused(const VerifyTreeArgs& args, const Context& context, const Scratch& scratch) {
  fused(args).run(context, scratch.rest, scratch.positions, scratch.draws);
  for (int64_t s = 0; s < args.tree.sequences; ++s) {
    walk(args, s, scratch.path_tokens, [&](int64_t row, int64_t) { return scratch.draws[row]; });
  }
}

// All logits at once, because that reads the unembedding once; processed only where the walk comes by.
void verify_processed(const VerifyTreeArgs& args, const Context& context, const Scratch& scratch) {
  const int64_t rows = args.tree.rows, vocab = args.vocab;
  float* const logits = scratch.rest;
  float* const spare = logits + rows * vocab;
  multiply(context,
           {.m = rows,
            .n = vocab,
            .k = args.dim,
            .a = {args.hidden, DType::kFloat32, args.dim, 1},
            .b = transposed(args.weight, args.dim),
            .c = logits,
            .c_stride = vocab,
            .bias = args.bias},
           spare + 2 * vocab);
  for (int64_t s = 0; s < args.tree.sequences; ++s) {
    History history;
    if (args.history != nullptr) {
      history.tokens = args.history + s * args.history_stride;
      history.length = args.history_lengths[s] < args.history_stride ? args.history_lengths[s] : args.history_stride;
      history.prompt_length = args.prompt_lengths[s];
    }
    walk(args, s, scratch.path_tokens, [&](int64_t row, int64_t accepted) {
      __builtin_memcpy(spare, logits + row * vocab, static_cast<size_t>(vocab) * sizeof(float));
      apply_softcap(spare, vocab, args.softcap);
      history.path = scratch.path_tokens;
      history.path_length = accepted;
      return draw(spare, vocab, scratch.positions[row], args.options, args.logit_bias, history, spare + vocab);
    });
  }
}

}  // namespace

int64_t workspace(const VerifyTreeArgs& args, const Context& context) { return Scratch(args, context).bytes; }

void run(const VerifyTreeArgs& args, const Context& context) {
  if (!is_well_formed(args, context)) return;
  const Scratch scratch(args, context);
  find_positions(args.tree, scratch.positions);
  if (needs_logits(args.options, args.logit_bias)) {
    verify_processed(args, context, scratch);
  } else {
    verify_fused(args, context, scratch);
  }
}

void run(const PlantTreeArgs& args, const Context& context) {
  int64_t sequence = 0;
  for (int64_t r = 0; r < args.rows; ++r) {
    while (sequence + 1 < args.sequences && r >= args.row_offsets[sequence + 1]) ++sequence;
    const int32_t depth = args.depths[r], rank = args.ranks[r];
    if (depth < 0 || depth > args.max_depth) {
      return report_index(context, "plantTree", "depths", r, depth, args.max_depth + 1);
    }
    if (depth == 0) {
      args.tokens[r] = args.roots[sequence];
      continue;
    }
    if (rank < 0 || rank >= args.width) return report_index(context, "plantTree", "ranks", r, rank, args.width);
    args.tokens[r] = args.drafts[(sequence * args.max_depth + depth - 1) * args.width + rank];
  }
}

}  // namespace foretoken::cpu::FORETOKEN_ISA
