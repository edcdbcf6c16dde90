// Memory for draws from whole rows of logits.
#include "csrc/cuda/sampling/process_logits.cuh"

namespace foretoken::cuda {
DrawMemory::DrawMemory(const Workspace& workspace, const DrawNeeds& needs, int64_t vocab, int64_t blocks,
                       int64_t texts) {
  constexpr int64_t kAlignment = 16;
  char* next = static_cast<char*>(workspace.data);
  const auto take = [&](bool is_needed, int64_t bytes) {
    char* const memory = next;
    if (!is_needed) return static_cast<char*>(nullptr);
    next += round_up(bytes, kAlignment);
    return memory;
  };
  const auto size = [&](int64_t rows, size_t element) { return rows * vocab * static_cast<int64_t>(element); };
  bias = reinterpret_cast<float*>(take(needs.bias, size(texts, sizeof(float))));
  seen = reinterpret_cast<int32_t*>(take(needs.penalties, size(texts, sizeof(int32_t))));
  lists = reinterpret_cast<Rank*>(take(needs.filters, size(blocks, sizeof(Rank))));
  bytes = next - static_cast<char*>(workspace.data);
}

}  // namespace foretoken::cuda
