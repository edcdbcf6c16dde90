// Draws tokens from hidden states, fused with the unembedding, and from logits.
#include "csrc/cpu/indices.h"
#include "csrc/cpu/kernels.h"
#include "csrc/cpu/sampling/fused_draw.h"
#include "csrc/cpu/sampling/nothing_to_draw.h"
#include "csrc/cpu/sampling/process_logits.h"
#include "csrc/cpu/sizes.h"

namespace foretoken::cpu::FORETOKEN_ISA {
namespace {

// Reports the first row from which no token could be drawn. `positions` may be null.
void report_missing_tokens(const Context& context, const char* op, const int32_t* tokens, const int32_t* positions,
                           int64_t rows) {
  for (int64_t r = 0; r < rows; ++r) {
    if (tokens[r] != kNoToken) continue;
    return report_nothing_to_draw(context, op, r, positions ? positions[r] : kNoPosition);
  }
}

int64_t draw_bytes(const LinearSampleArgs& args) { return cache_lines(bytes_of<RowDraw>(args.rows)); }

}  // namespace

int64_t workspace(const LinearSampleArgs& args, const Context& context) {
  return draw_bytes(args) + FusedDraw(args).workspace_bytes(context);
}

void run(const LinearSampleArgs& args, const Context& context) {
  auto* const draws = static_cast<RowDraw*>(args.workspace.data);
  for (int64_t r = 0; r < args.rows; ++r) {
    draws[r] = {args.temperature, args.positions ? args.positions[r] : 0, args.seed};
  }
  void* const rest = static_cast<char*>(args.workspace.data) + draw_bytes(args);
  FusedDraw(args).run(context, rest, draws, args.tokens);
  report_missing_tokens(context, "linearSample", args.tokens, args.positions, args.rows);
}

int64_t workspace(const SampleLogitsArgs& args, const Context& context) {
  return context.threads * RowScratch::bytes(args.vocab);
}

void run(const SampleLogitsArgs& args, const Context& context) {
  const int64_t vocab = args.vocab;
  if (!indices_in_range(context, "sampleLogits", "logitBias", args.bias.tokens, args.bias.count, vocab)) return;
  if (!indices_in_range(context, "sampleLogits", "history", args.history, args.history_length, vocab)) return;
  parallel(context, args.rows, [&](int64_t r, int thread) {
    const RowScratch scratch = RowScratch::of_thread(args.workspace.data, vocab, thread);
    copy_floats(scratch.logits, args.logits + r * vocab, vocab);
    if (has_penalties(args.options)) {
      scratch.seen.clear(vocab);
      scratch.seen.add_all(args.history, args.history_length, args.prompt_length);
    }
    args.tokens[r] = draw(scratch, vocab, args.positions[r], args.options, args.bias);
  });
  report_missing_tokens(context, "sampleLogits", args.tokens, args.positions, args.rows);
}

}  // namespace foretoken::cpu::FORETOKEN_ISA
