// Reads the arguments of operations that compute logits: the loss, draws and verification.
#pragma once

#include "csrc/addon/call.h"

namespace foretoken {

float softcap_argument(Call& call);

// Refuses a vocabulary with no token or with more than int32 can number.
void check_vocab(const Call& call, const Tensor& tensor, const char* name, int64_t vocab);

struct UnembeddingShape {
  int64_t rows, dim, vocab;
};

// Checks hidden [rows, dim], weight [vocab, dim] and bias, which is [vocab] or null.
UnembeddingShape unembedding_shape(const Call& call, const Tensor& hidden, const Tensor& weight, const Tensor* bias);

}  // namespace foretoken
