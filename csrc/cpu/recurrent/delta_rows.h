// The inputs of the delta rule that each row has beside its value: normalized queries and keys, their products, and the gates.
#pragma once

#include "csrc/cpu/simd.h"
#include "csrc/cpu/sizes.h"

namespace foretoken::cpu::FORETOKEN_ISA {

struct PreparedRows {
  PreparedRows(const RecurrentShape& shape, int64_t rows, void* workspace);

  const RecurrentShape shape;
  float *keys, *queries;  // [rows, key_heads, key_dim]
  float* products;        // [rows, key_heads]: query · key
  float *decays, *betas;  // [rows, value_heads]
  int64_t bytes;
};

// Computes rows[0 … count - 1], or rows 0 … count - 1 if `rows` is null. The order of sums is the same on every level.
void prepare_rows(const DeltaRows& delta, const int32_t* rows, int64_t count, const PreparedRows& prepared,
                  const Context& context);

}  // namespace foretoken::cpu::FORETOKEN_ISA
