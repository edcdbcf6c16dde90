// Verifies draft trees. A walk draws a token at the root as plain decoding would; while a child holds the drawn token,
// the walk steps to that child and draws there. Lossless for any draft, because a draw depends only on the path to its
// node.
#include "csrc/core/tree.h"
#include "csrc/cpu/indices.h"
#include "csrc/cpu/kernels.h"
#include "csrc/cpu/linear/softcap.h"
#include "csrc/cpu/sampling/fused_draw.h"
#include "csrc/cpu/sampling/mask.h"
#include "csrc/cpu/sampling/nothing_to_draw.h"
#include "csrc/cpu/sampling/process_logits.h"
#include "csrc/cpu/sizes.h"

namespace foretoken::cpu::FORETOKEN_ISA {
namespace {

bool needs_logits(const VerifyTreeArgs& args) { return args.sampling.needs != SamplingNeeds::kNothing; }

// The workspace: how each row draws and what it drew, then for draws that need whole rows the logits of all nodes, the
// GEMM's scratch and a row for each thread, and for other draws the workspace of the fused draw.
struct Scratch {
  Scratch(const VerifyTreeArgs& args, const Context& context)
      : draw_bytes(cache_lines(bytes_of<RowDraw>(args.tree.rows))),
        token_bytes(cache_lines(bytes_of<int32_t>(args.tree.rows))),
        logit_bytes(cache_lines(bytes_of<float>(args.tree.rows * args.vocab))),
        gemm_bytes(cache_lines(bytes_of<float>(
            context.threads * gemm_scratch(args.tree.rows, args.dim, transposed(args.weight, args.dim))))),
        row_bytes(context.threads * RowScratch::bytes(args.vocab)),
        bytes(draw_bytes + token_bytes +
              (needs_logits(args) ? logit_bytes + gemm_bytes + row_bytes : FusedDraw(args).workspace_bytes(context))),
        base(static_cast<char*>(args.workspace.data)) {}

  // [rows]: how each row draws
  RowDraw* draws() const { return reinterpret_cast<RowDraw*>(base); }
  // [rows]: tokens of the fused draw
  int32_t* tokens() const { return reinterpret_cast<int32_t*>(base + draw_bytes); }
  char* rest() const { return base + draw_bytes + token_bytes; }
  float* logits() const { return reinterpret_cast<float*>(rest()); }
  float* gemm() const { return reinterpret_cast<float*>(rest() + logit_bytes); }
  char* rows() const { return rest() + logit_bytes + gemm_bytes; }

  const int64_t draw_bytes, token_bytes, logit_bytes, gemm_bytes, row_bytes, bytes;
  char* const base;
};

// Whether all indices that the kernel reads are valid; reports the first one that is not.
bool indices_are_valid(const VerifyTreeArgs& args, const Context& context) {
  constexpr const char* kOp = "verifyTree";
  IndexProblem problem;
  if (find_problem(args, &problem)) {
    report_problem(context, kOp, problem);
    return false;
  }
  const int64_t rows = args.tree.row_offsets[args.tree.sequences];
  if (!indices_in_range(context, kOp, "tokens", args.tokens, rows, args.vocab)) return false;
  for (int64_t s = 0; s < args.tree.sequences; ++s) {
    const LogitBias bias = bias_of(args.sampling, s);
    if (!indices_in_range(context, kOp, "logitBias", bias.tokens, bias.count, args.vocab)) return false;
  }
  if (args.history == nullptr) return true;
  const int64_t stride = args.history_stride;
  if (!indices_in_range(context, kOp, "historyLengths", args.history_lengths, args.tree.sequences, stride + 1)) {
    return false;
  }
  for (int64_t s = 0; s < args.tree.sequences; ++s) {
    if (!has_penalties(options_of(args.sampling, s))) continue;
    const int32_t* const tokens = args.history + s * stride;
    if (!indices_in_range(context, kOp, "history", tokens, args.history_lengths[s], args.vocab)) return false;
  }
  return true;
}

void find_draws(const TreeRows& tree, const SequenceSampling& sampling, RowDraw* draws) {
  for (int64_t s = 0; s < tree.sequences; ++s) {
    const SamplingOptions options = options_of(sampling, s);
    for (int64_t r = tree.row_offsets[s]; r < tree.row_offsets[s + 1]; ++r) {
      const int32_t parent = tree.parents[r];
      const int32_t position = parent < 0 ? tree.lengths[s] + 1 : draws[parent].position + 1;
      draws[r] = {options.temperature, position, options.seed};
    }
  }
}

// Returns the first child of `row` that holds `token`, or -1.
int64_t child_with(const VerifyTreeArgs& args, int64_t row, int64_t end, int32_t token) {
  for (int64_t child = row + 1; child < end; ++child) {
    if (args.tree.parents[child] == row && args.tokens[child] == token) return child;
  }
  return -1;
}

// Writes the accepted path of a sequence. Calls draw_at(row), which returns the token drawn at a row, for the rows of
// the path in order. The path ends before a row from which no token can be drawn.
template <typename DrawAt>
void walk(const VerifyTreeArgs& args, int64_t sequence, DrawAt draw_at) {
  const int64_t root = args.tree.row_offsets[sequence], end = args.tree.row_offsets[sequence + 1];
  int32_t* const path = args.path + sequence * args.path_stride;
  int32_t* const drawn = args.drawn + sequence * args.path_stride;
  for (int64_t i = 0; i < args.path_stride; ++i) path[i] = drawn[i] = -1;
  int32_t count = 0;
  for (int64_t row = root < end ? root : -1; row >= 0; ++count) {
    const int32_t token = draw_at(row);
    if (token == kNoToken) break;
    path[count] = static_cast<int32_t>(row);
    drawn[count] = token;
    row = child_with(args, row, end, token);
  }
  args.counts[sequence] = count;
}

// Reports the first root from which no token could be drawn.
void report_roots_without_token(const VerifyTreeArgs& args, const Context& context) {
  const TreeRows& tree = args.tree;
  for (int64_t s = 0; s < tree.sequences; ++s) {
    if (args.counts[s] > 0 || tree.row_offsets[s] == tree.row_offsets[s + 1]) continue;
    return report_nothing_to_draw(context, "verifyTree", tree.row_offsets[s], int64_t{tree.lengths[s]} + 1);
  }
}

void verify_fused(const VerifyTreeArgs& args, const Context& context, const Scratch& scratch) {
  FusedDraw(args).run(context, scratch.rest(), scratch.draws(), scratch.tokens());
  for (int64_t s = 0; s < args.tree.sequences; ++s) {
    walk(args, s, [&](int64_t row) { return scratch.tokens()[row]; });
  }
}

// Computes all logits at once, which reads the unembedding once, and processes only the rows that the walk visits.
void verify_rows(const VerifyTreeArgs& args, const Context& context, const Scratch& scratch) {
  const int64_t vocab = args.vocab;
  const Gemm gemm = {.m = args.tree.rows,
                     .n = vocab,
                     .k = args.dim,
                     .a = {args.hidden, DType::kFloat32, args.dim, 1},
                     .b = transposed(args.weight, args.dim),
                     .c = scratch.logits(),
                     .c_stride = vocab,
                     .bias = args.bias};
  multiply(context, gemm, scratch.gemm());
  parallel(context, args.tree.sequences, [&](int64_t s, int thread) {
    const RowScratch row_scratch = RowScratch::of_thread(scratch.rows(), vocab, thread);
    const SeenTokens& seen = row_scratch.seen;
    const SamplingOptions options = options_of(args.sampling, s);
    const LogitBias bias = bias_of(args.sampling, s);
    if (has_penalties(options)) {
      seen.clear(vocab);
      seen.add_all(args.history + s * args.history_stride, args.history_lengths[s], args.prompt_lengths[s]);
    }
    walk(args, s, [&](int64_t row) {
      // The history ends with the root's token.
      if (has_penalties(options) && row != args.tree.row_offsets[s]) seen.add(args.tokens[row], true);
      copy_floats(row_scratch.logits, scratch.logits() + row * vocab, vocab);
      apply_softcap(row_scratch.logits, vocab, args.softcap);
      apply_mask(row_scratch.logits, 0, vocab, mask_of_row(args.mask, row, vocab));
      return draw(row_scratch, vocab, scratch.draws()[row].position, options, bias);
    });
  });
}

}  // namespace

int64_t workspace(const VerifyTreeArgs& args, const Context& context) { return Scratch(args, context).bytes; }

void run(const VerifyTreeArgs& padded, const Context& context) {
  if (!indices_are_valid(padded, context)) return;
  VerifyTreeArgs args = padded;
  args.tree.rows = args.tree.row_offsets[args.tree.sequences];
  const Scratch scratch(args, context);
  find_draws(args.tree, args.sampling, scratch.draws());
  if (needs_logits(args)) {
    verify_rows(args, context, scratch);
  } else {
    verify_fused(args, context, scratch);
  }
  if (!args.allows_no_token) report_roots_without_token(args, context);
}

}  // namespace foretoken::cpu::FORETOKEN_ISA
