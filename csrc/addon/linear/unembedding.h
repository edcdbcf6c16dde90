// Reads the arguments of operations that end in logits: the loss, draws and verification.
#pragma once

#include "csrc/addon/call.h"

namespace foretoken {

float softcap_argument(const Call& call, size_t index);

// Refuses vocabularies that have no token, or more than int32 can tell apart.
void check_vocab(const Call& call, const Tensor& tensor, const char* name, int64_t vocab);

struct UnembeddingShape {
  int64_t rows, dim, vocab;
};

// hidden [rows, dim], weight [vocab, dim], bias [vocab] or null
UnembeddingShape unembedding_shape(const Call& call, const Tensor& hidden, const Tensor& weight, const Tensor* bias);

}  // namespace foretoken
