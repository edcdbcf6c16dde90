// The loss of hidden states against an unembedding, with its gradients: the matrix product fused with softmax,
// cross-entropy and all statistics of a row. The scratch depends neither on the number of rows nor on the number of
// heads. The valid rows of all heads pass through in chunks. The host enqueues as many chunks as it would take if all
// rows were valid; the device knows how many rows each chunk has, and the kernels of empty chunks return at once.
//
//   select rows -> pack their hidden states -> logits = h W^T, reduced to a few numbers for each row and 64 columns
//   -> each row: loss, statistics; totals -> dz in place of the logits -> db += Σ dz, dW += dz^T h, dh = dz W
//
// Memory holds the logits of one chunk at most, never of all rows. Without gradients it holds no logits at all, only
// their reductions, a thirteenth of their size. With gradients, bfloat16 on compute capability 9.0 writes neither
// logits nor dz but exponentials, half their size (see Exponentials). Loss and gradient compute a row's statistics on
// the same path and give the same bits.
//
// A sum over the vocabulary belongs to one row, and its order depends on the vocabulary and the dimensions alone. Sums
// over rows run in row order and continue from the values already there; a chunk is a whole number of the tensor cores'
// steps over rows. So no bit of a result depends on the chunks, except the bits of dW where the copy engine adds to it.
//
// docs/kernels/linear-cross-entropy.md has the versions of these kernels, with measurements.
//
// kBackward differs from kLossAndGrad only in that it does not write lse, as on the CPU.
#include "csrc/cuda/kernels.h"
#include "csrc/cuda/loss/linear_cross_entropy.cuh"
#include "csrc/cuda/loss/linear_cross_entropy_epilogues.cuh"
#include "csrc/cuda/loss/linear_cross_entropy_logits.cuh"

namespace foretoken::cuda {
namespace loss {
namespace {

// With this many rows the product for dW takes several times as long as reading and writing dW, whatever its size.
constexpr int64_t kEnoughRows = 2048;
constexpr int64_t kChunkBytes = 768 << 20;  // kEnoughRows rows of exponentials of 128k logits fit
// The number of elements of the vocabulary that one float32 accumulator sums in the product for the gradient of hidden
// states.
constexpr int64_t kPiece = 1024;
// The number of rows that the tensor cores sum in one step.
constexpr int64_t kStep = 16;

// The requested number of rows; otherwise as many as fit into kChunkBytes, in whole tiles. kStep rows take
// `step_bytes`.
int64_t rows_of_chunk(const LinearCrossEntropyArgs& args, int64_t step_bytes) {
  // Keeps counts of rows within 32 bits and counts of bytes within 64, whatever was requested.
  constexpr int64_t kMost = int64_t{1} << 29;
  int64_t wanted = args.chunk_rows > 0 ? args.chunk_rows : std::min(kEnoughRows, kChunkBytes / step_bytes * kStep);
  if (args.chunk_rows == 0 && wanted > kCounted) wanted = wanted / kCounted * kCounted;
  return round_up(std::min({std::max(wanted, int64_t{1}), args.rows, kMost}), kStep);
}

// Logits are kept instead if ranks are counted, or if the gradient of a logit is more than its exponential times a
// factor. float32 keeps logits, too: it has no tensor cores whose speed exponentials would serve.
bool keeps_exponentials(const LinearCrossEntropyArgs& args, const Context& context, int64_t hidden_stride) {
  const LossOptions& options = args.options;
  if (!wants_gradients(args) || compute_type(args) != DType::kBFloat16 || args.rank != nullptr) return false;
  if (options.label_smoothing != 0 || options.entropy_weight != 0) return false;
  const Gemm gemm = {.m = args.vocab,
                     .n = args.dim,
                     .k = args.rows,
                     .a = {nullptr, DType::kBFloat16, hidden_stride},
                     .b = {args.weight.data, args.weight.dtype, args.dim}};
  if (args.grad_weight && !AddByEngine::fits(args.grad_weight, args.dim)) return false;
  return runs_on_hopper(context, gemm);
}

Slices slices_of_vocabulary(const LinearCrossEntropyArgs& args) {
  const Slices slices = slices_of(kEnoughRows, args.dim, args.vocab);
  if (compute_type(args) == DType::kBFloat16) return slices;
  return {slices.count, std::min(slices.depth, kPiece)};
}

}  // namespace

Chunk::Chunk(const LinearCrossEntropyArgs& args, const Context& context)
    : Chunk(args, context, rows_of_chunk(args, Chunk(args, context, kStep).bytes)) {}

Chunk::Chunk(const LinearCrossEntropyArgs& args, const Context& context, int64_t capacity)
    : capacity(capacity),
      hidden_stride(round_up(args.dim, 8)),
      stride(round_up(args.vocab, 32)),
      strips(divide_up(args.vocab, kStripWidth)),
      slices(slices_of_vocabulary(args)) {
  char* const begin = static_cast<char*>(args.workspace.data);
  bytes = 0;
  const auto take = [&]<typename T>(T*& memory, int64_t count) {
    memory = reinterpret_cast<T*>(begin + bytes);
    bytes += round_up(count * static_cast<int64_t>(sizeof(T)), 128);
  };
  take(progress, 1);
  take(rows, capacity);
  take(targets, capacity);
  take(weights, capacity);
  take(losses, capacity);
  take(own, capacity);
  take(gradients, capacity);
  take(partials, capacity * strips);
  take(argmaxes, capacity * strips);
  char* packed;
  take(packed, capacity * hidden_stride * static_cast<int64_t>(size_of(compute_type(args))));
  hidden = packed;
  logits = nullptr;
  exponentials = {};
  if (keeps_exponentials(args, context, hidden_stride)) {
    take(exponentials.data, capacity * stride);
    take(exponentials.bases, capacity);
    take(exponentials.scaled_hidden, capacity * hidden_stride);
    take(exponentials.factors, capacity);
  } else if (wants_gradients(args)) {
    take(logits, capacity * stride);
  }
  grad_hidden = nullptr;
  if (wants_hidden_gradient(args)) take(grad_hidden, slices.count * capacity * args.dim);
}

namespace {

// `states` are the chunk's hidden states, scaled or not.
Operand packed_hidden(const LinearCrossEntropyArgs& args, const Chunk& chunk, const void* states) {
  return {.data = states, .dtype = compute_type(args), .stride = chunk.hidden_stride};
}

Operand unembedding(const LinearCrossEntropyArgs& args) {
  return {.data = args.weight.data, .dtype = args.weight.dtype, .stride = args.dim};
}

// The gradient of the logits, or their exponentials. A gradient in bfloat16 takes the first half of each row of logits.
Operand gradient(const LinearCrossEntropyArgs& args, const Chunk& chunk) {
  if (chunk.exponentials.data) return {chunk.exponentials.data, DType::kBFloat16, chunk.stride};
  const DType dtype = compute_type(args);
  const auto each = static_cast<int64_t>(sizeof(float) / size_of(dtype));
  return {.data = chunk.logits, .dtype = dtype, .stride = chunk.stride * each};
}

void multiply_logits(const LinearCrossEntropyArgs& args, const Chunk& chunk, const Context& context, int32_t* rank) {
  const Gemm gemm = {.m = chunk.capacity,
                     .n = args.vocab,
                     .k = args.dim,
                     .a = packed_hidden(args, chunk, chunk.hidden),
                     .b = unembedding(args),
                     .m_count = &chunk.progress->size};
  multiply<Form::kNT>(context, gemm, ReduceLogits(args, chunk, rank));
}

void add_weight_gradient(const LinearCrossEntropyArgs& args, const Chunk& chunk, const Context& context) {
  const Exponentials& exponentials = chunk.exponentials;
  const Gemm gemm = {.m = args.vocab,
                     .n = args.dim,
                     .k = chunk.capacity,
                     .a = gradient(args, chunk),
                     .b = packed_hidden(args, chunk, exponentials.data ? exponentials.scaled_hidden : chunk.hidden),
                     .k_count = &chunk.progress->size};
  if (!runs_on_hopper(context, gemm) || !AddByEngine::fits(args.grad_weight, args.dim)) {
    return multiply<Form::kTN>(context, gemm, ExtendSums{chunk.progress, context.record, args.grad_weight, args.dim});
  }
  const AddByEngine add(chunk, context.record, args.grad_weight, args.vocab, args.dim);
  multiply_tiles_on_hopper<Form::kTN>(context, gemm, add, 1, gemm.k);
}

const void* advance(const Operand& operand, int64_t elements) {
  return static_cast<const char*>(operand.data) + elements * static_cast<int64_t>(size_of(operand.dtype));
}

// If the slices together do not cover the vocabulary, they move along it, and their results are added up.
void write_hidden_gradient(const LinearCrossEntropyArgs& args, const Chunk& chunk, const Context& context) {
  const auto [count, depth] = chunk.slices;
  const StoreSlice store{chunk.grad_hidden, chunk.capacity, args.dim};
  for (int64_t first = 0; first < args.vocab; first += count * depth) {
    Gemm gemm = {.m = chunk.capacity,
                 .n = args.dim,
                 .k = std::min(args.vocab - first, count * depth),
                 .a = gradient(args, chunk),
                 .b = unembedding(args),
                 .m_count = &chunk.progress->size};
    gemm.a.data = advance(gemm.a, first);
    gemm.b.data = advance(gemm.b, first * gemm.b.stride);
    if (first == 0) multiply_slices<Form::kNN>(context, gemm, store, count, depth);
    else multiply_slices<Form::kNN>(context, gemm, AddSlice{store, context.record}, count, depth);
  }
  scatter_hidden(args, chunk, context);
}

void process_chunk(const LinearCrossEntropyArgs& args, const Chunk& chunk, const Context& context) {
  select_rows(args, chunk, context);
  pack_hidden(args, chunk, context);
  if (chunk.exponentials.data) find_bases(args, chunk, context);
  multiply_logits(args, chunk, context, nullptr);
  finish_rows(args, chunk, context);
  add_totals(args, chunk, context);
  if (!wants_gradients(args)) {
    if (args.rank) multiply_logits(args, chunk, context, args.rank);
    return;
  }
  if (chunk.exponentials.data) finish_exponentials(args, chunk, context);
  else write_gradients(args, chunk, context);
  if (args.grad_bias) add_bias_gradient(args, chunk, context);
  if (args.grad_weight) add_weight_gradient(args, chunk, context);
  if (wants_hidden_gradient(args)) write_hidden_gradient(args, chunk, context);
}

}  // namespace
}  // namespace loss

int64_t workspace(const LinearCrossEntropyArgs& args, const Context& context) {
  return loss::Chunk(args, context).bytes;
}

void run(const LinearCrossEntropyArgs& args, const Context& context) {
  const loss::Chunk chunk(args, context);
  loss::begin_rows(args, chunk, context);
  for (int64_t row = 0; row < args.rows; row += chunk.capacity) loss::process_chunk(args, chunk, context);
}

}  // namespace foretoken::cuda
