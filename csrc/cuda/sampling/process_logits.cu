// Memory for draws from whole rows of logits, and the dense form of a logit bias.
#include "csrc/cuda/sampling/process_logits.cuh"

namespace foretoken::cuda {
namespace {

constexpr int kThreads = 256;

// A thread handles one token. It adds up all biases of the token, in order.
__global__ void __launch_bounds__(kThreads)
    spread_bias_kernel(LogitBias logit_bias, int64_t vocab, float* bias, Reporter reporter) {
  const int64_t token = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  float sum = 0;
  for (int64_t i = 0; i < logit_bias.count; ++i) {
    if (logit_bias.tokens[i] == token) sum += logit_bias.values[i];
  }
  if (token < vocab) bias[token] = sum;
  if (blockIdx.x > 0) return;
  for (int64_t i = threadIdx.x; i < logit_bias.count; i += kThreads) {
    reporter.check(Argument::kLogitBias, i, logit_bias.tokens[i], 0, vocab - 1);
  }
}

}  // namespace

DrawMemory::DrawMemory(const Workspace& workspace, const SamplingOptions& options, const LogitBias& logit_bias,
                       int64_t vocab, int64_t blocks, int64_t texts) {
  constexpr int64_t kAlignment = 16;
  char* next = static_cast<char*>(workspace.data);
  const auto take = [&](bool is_needed, int64_t bytes) {
    char* const memory = next;
    if (!is_needed) return static_cast<char*>(nullptr);
    next += round_up(bytes, kAlignment);
    return memory;
  };
  const auto size = [&](int64_t rows, size_t element) { return rows * vocab * static_cast<int64_t>(element); };
  bias = reinterpret_cast<float*>(take(logit_bias.count > 0, size(1, sizeof(float))));
  seen = reinterpret_cast<int32_t*>(take(has_penalties(options), size(texts, sizeof(int32_t))));
  lists = reinterpret_cast<Rank*>(take(has_filters(options), size(blocks, sizeof(Rank))));
  bytes = next - static_cast<char*>(workspace.data);
}

void spread_bias(const Context& context, const LogitBias& logit_bias, int64_t vocab, const DrawMemory& memory) {
  if (memory.bias == nullptr) return;
  launch(context, spread_bias_kernel, dim3(static_cast<unsigned>(divide_up(vocab, kThreads))), dim3(kThreads), 0,
         logit_bias, vocab, memory.bias, context.reporter());
}

}  // namespace foretoken::cuda
