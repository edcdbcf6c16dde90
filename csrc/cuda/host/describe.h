// Describes operations in messages: their JavaScript names and the sizes of their arguments.
#pragma once

#include <initializer_list>
#include <string>

#include "csrc/core/ops.h"

namespace foretoken::cuda {

struct NamedSize {
  const char* name;
  int64_t size;
};

// "rows 4, dim 8"
inline std::string list_of(std::initializer_list<NamedSize> sizes) {
  std::string text;
  for (const auto& [name, size] : sizes) {
    text += (text.empty() ? "" : ", ") + std::string(name) + " " + std::to_string(size);
  }
  return text;
}

#define FORETOKEN_DESCRIBE(Name, text, ...)                      \
  inline const char* name_of(const Name##Args&) { return text; } \
  inline std::string shapes_of([[maybe_unused]] const Name##Args& args) { return list_of({__VA_ARGS__}); }
#define FORETOKEN_SIZE(member) \
  NamedSize { #member, static_cast < int64_t>(args.member) }

FORETOKEN_DESCRIBE(Fill, "fill", FORETOKEN_SIZE(count))
FORETOKEN_DESCRIBE(Copy, "copyInto", FORETOKEN_SIZE(bytes))
FORETOKEN_DESCRIBE(Cast, "cast", FORETOKEN_SIZE(count))
FORETOKEN_DESCRIBE(Timestamp, "timestamp")
FORETOKEN_DESCRIBE(Add, "add", FORETOKEN_SIZE(count))
FORETOKEN_DESCRIBE(Accumulate, "accumulate", FORETOKEN_SIZE(count))
FORETOKEN_DESCRIBE(Scale, "scale", FORETOKEN_SIZE(count))
FORETOKEN_DESCRIBE(Silu, "silu", FORETOKEN_SIZE(count))
FORETOKEN_DESCRIBE(SiluBackward, "siluBackward", FORETOKEN_SIZE(count))
FORETOKEN_DESCRIBE(SigmoidGate, "sigmoidGate", FORETOKEN_SIZE(count))
FORETOKEN_DESCRIBE(Glu, "glu", FORETOKEN_SIZE(rows), FORETOKEN_SIZE(dim))
FORETOKEN_DESCRIBE(GluBackward, "gluBackward", FORETOKEN_SIZE(rows), FORETOKEN_SIZE(dim))
FORETOKEN_DESCRIBE(Concat, "concat", FORETOKEN_SIZE(rows), FORETOKEN_SIZE(dim_a), FORETOKEN_SIZE(dim_b))
FORETOKEN_DESCRIBE(SliceColumns, "sliceColumns", FORETOKEN_SIZE(rows), FORETOKEN_SIZE(stride), FORETOKEN_SIZE(dim))
FORETOKEN_DESCRIBE(Embedding, "embedding", FORETOKEN_SIZE(rows), FORETOKEN_SIZE(vocab), FORETOKEN_SIZE(dim))
// Both directions share a name, because messages about tokens name the operation that took them.
FORETOKEN_DESCRIBE(EmbeddingBackward, "embedding", FORETOKEN_SIZE(rows), FORETOKEN_SIZE(vocab), FORETOKEN_SIZE(dim))
FORETOKEN_DESCRIBE(PackWeight, "packWeight", FORETOKEN_SIZE(n), FORETOKEN_SIZE(k))
FORETOKEN_DESCRIBE(Linear, "linear", FORETOKEN_SIZE(m), FORETOKEN_SIZE(n), FORETOKEN_SIZE(k))
FORETOKEN_DESCRIBE(LinearBackwardInput, "linearBackwardInput", FORETOKEN_SIZE(m), FORETOKEN_SIZE(n), FORETOKEN_SIZE(k))
FORETOKEN_DESCRIBE(LinearBackwardWeight, "linearBackwardWeight", FORETOKEN_SIZE(m), FORETOKEN_SIZE(n),
                   FORETOKEN_SIZE(k))
FORETOKEN_DESCRIBE(RmsNorm, "rmsNorm", FORETOKEN_SIZE(rows), FORETOKEN_SIZE(dim))
FORETOKEN_DESCRIBE(RmsNormBackward, "rmsNormBackward", FORETOKEN_SIZE(rows), FORETOKEN_SIZE(dim))
FORETOKEN_DESCRIBE(GatedRmsNorm, "gatedRmsNorm", FORETOKEN_SIZE(rows), FORETOKEN_SIZE(dim))
FORETOKEN_DESCRIBE(Rope, "rope", FORETOKEN_SIZE(rows), FORETOKEN_SIZE(heads), FORETOKEN_SIZE(head_dim))
FORETOKEN_DESCRIBE(Attention, "attention", FORETOKEN_SIZE(batch), FORETOKEN_SIZE(length), FORETOKEN_SIZE(shape.heads),
                   FORETOKEN_SIZE(shape.kv_heads), FORETOKEN_SIZE(shape.head_dim))
FORETOKEN_DESCRIBE(AttentionBackward, "attentionBackward", FORETOKEN_SIZE(batch), FORETOKEN_SIZE(length),
                   FORETOKEN_SIZE(shape.heads), FORETOKEN_SIZE(shape.kv_heads), FORETOKEN_SIZE(shape.head_dim))
FORETOKEN_DESCRIBE(KvAppend, "kvAppend", FORETOKEN_SIZE(tree.rows), FORETOKEN_SIZE(tree.sequences))
FORETOKEN_DESCRIBE(TreeAttention, "treeAttention", FORETOKEN_SIZE(tree.rows), FORETOKEN_SIZE(tree.sequences),
                   FORETOKEN_SIZE(shape.heads), FORETOKEN_SIZE(shape.head_dim))
FORETOKEN_DESCRIBE(KvCompact, "kvCompact", FORETOKEN_SIZE(cache.layers), FORETOKEN_SIZE(cache.sequences))
FORETOKEN_DESCRIBE(ShortConvolution, "shortConvolution", FORETOKEN_SIZE(tree.rows), FORETOKEN_SIZE(tree.sequences))
FORETOKEN_DESCRIBE(GatedDelta, "gatedDelta", FORETOKEN_SIZE(tree.rows), FORETOKEN_SIZE(tree.sequences))
FORETOKEN_DESCRIBE(CommitRecurrent, "commitRecurrent", FORETOKEN_SIZE(rows), FORETOKEN_SIZE(sequences))
FORETOKEN_DESCRIBE(LinearCrossEntropy, "linearCrossEntropy", FORETOKEN_SIZE(rows), FORETOKEN_SIZE(dim),
                   FORETOKEN_SIZE(vocab), FORETOKEN_SIZE(heads))
FORETOKEN_DESCRIBE(TopK, "topK", FORETOKEN_SIZE(rows), FORETOKEN_SIZE(cols), FORETOKEN_SIZE(k))
FORETOKEN_DESCRIBE(LinearSample, "linearSample", FORETOKEN_SIZE(rows), FORETOKEN_SIZE(dim), FORETOKEN_SIZE(vocab))
FORETOKEN_DESCRIBE(SampleLogits, "sampleLogits", FORETOKEN_SIZE(rows), FORETOKEN_SIZE(vocab))
FORETOKEN_DESCRIBE(VerifyTree, "verifyTree", FORETOKEN_SIZE(tree.rows), FORETOKEN_SIZE(dim), FORETOKEN_SIZE(vocab))
FORETOKEN_DESCRIBE(ProposeTokens, "proposeTokens", FORETOKEN_SIZE(rows), FORETOKEN_SIZE(vocab), FORETOKEN_SIZE(k))
FORETOKEN_DESCRIBE(AcceptedRows, "acceptedRows", FORETOKEN_SIZE(rows), FORETOKEN_SIZE(sequences))
FORETOKEN_DESCRIBE(ChainTokens, "chainTokens", FORETOKEN_SIZE(rows), FORETOKEN_SIZE(sequences))
FORETOKEN_DESCRIBE(SumSquares, "sumSquares", FORETOKEN_SIZE(count))
FORETOKEN_DESCRIBE(ClipCoefficient, "clipCoefficient", FORETOKEN_SIZE(buckets))
FORETOKEN_DESCRIBE(Adamw, "adamw", FORETOKEN_SIZE(count))

#undef FORETOKEN_SIZE
#undef FORETOKEN_DESCRIBE

}  // namespace foretoken::cuda
