// Draws from hidden states (the unembedding fused in) and from logits.
#include "csrc/cpu/fused_draw.h"
#include "csrc/cpu/kernels.h"
#include "csrc/cpu/process_logits.h"

namespace foretoken::cpu::FORETOKEN_ISA {
namespace {

FusedDraw fused(const LinearSampleArgs& args) {
  return {.hidden = args.hidden,
          .weight = args.weight,
          .bias = args.bias,
          .rows = args.rows,
          .dim = args.dim,
          .vocab = args.vocab,
          .softcap = args.softcap,
          .temperature = args.temperature,
          .seed = args.seed};
}

}  // namespace

int64_t workspace(const LinearSampleArgs& args, const Context& context) { return fused(args).workspace_bytes(context); }

void run(const LinearSampleArgs& args, const Context& context) {
  fused(args).run(context, args.workspace.data, args.positions, args.tokens);
}

// A row of logits to work on, and scratch, for each thread.
int64_t workspace(const SampleLogitsArgs& args, const Context& context) {
  return context.threads * 2 * args.vocab * static_cast<int64_t>(sizeof(float));
}

void run(const SampleLogitsArgs& args, const Context& context) {
  const History history = {.tokens = args.history, .length = args.history_length, .prompt_length = args.prompt_length};
  parallel(context, args.rows, [&](int64_t r, int thread) {
    float* const row = static_cast<float*>(args.workspace.data) + thread * 2 * args.vocab;
    __builtin_memcpy(row, args.logits + r * args.vocab, static_cast<size_t>(args.vocab) * sizeof(float));
    args.tokens[r] = draw(row, args.vocab, args.positions[r], args.options, args.bias, history, row + args.vocab);
  });
}

}  // namespace foretoken::cpu::FORETOKEN_ISA
