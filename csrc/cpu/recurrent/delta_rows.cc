#include "csrc/cpu/recurrent/delta_rows.h"

#include "csrc/cpu/recurrent/states.h"
#include "csrc/cpu/split.h"

namespace foretoken::cpu::FORETOKEN_ISA {
namespace {

// a · b, of multiples of kPanel elements: element i is in sum i % kPanel, and the sums are added pairwise.
float dot(const float* a, const float* b, int64_t count) {
  constexpr int kVecs = kPanel / kLanes;
  Vec sums[kVecs] = {};
  for (int64_t i = 0; i < count; i += kPanel) {
    for (int v = 0; v < kVecs; ++v) {
      const int64_t at = i + v * kLanes;
      sums[v] = fma(load(a + at), load(b + at), sums[v]);
    }
  }
  for (int half = kVecs / 2; half > 0; half /= 2) {
    for (int v = 0; v < half; ++v) sums[v] += sums[v + half];
  }
  return sum(sums[0]);
}

// out = x · factor / √(Σ x² + 1e-6)
void normalize(const float* x, float factor, int64_t count, float* out) {
  const Vec scale = factor / sqrt(broadcast(dot(x, x, count) + 1e-6f));
  for (int64_t i = 0; i < count; i += kLanes) store(out + i, load(x + i) * scale);
}

// log(1 + e^x). The sum 1 + e^-|x| is rounded; its quotient with what it stands for corrects the logarithm.
Vec softplus(Vec x) {
  const Vec e = exp(-abs(x)), sum = e + 1.0f, rounded = sum - 1.0f;
  const Vec log_sum = rounded == 0.0f ? e : log(sum) * (e / rounded);
  return max(x, Vec{}) + log_sum;
}

void prepare_row(const DeltaRows& delta, int64_t row, const PreparedRows& prepared) {
  const auto& [key_heads, value_heads, key_dim, value_dim, taps] = prepared.shape;
  const float* const x = as_floats(delta.qkv) + row * prepared.shape.channels();
  const float scale = 1.0f / sqrt(broadcast(static_cast<float>(key_dim)))[0];
  for (int64_t h = 0; h < key_heads; ++h) {
    const int64_t head = row * key_heads + h;
    float* const query = prepared.queries + head * key_dim;
    float* const key = prepared.keys + head * key_dim;
    normalize(x + h * key_dim, scale, key_dim, query);
    normalize(x + (key_heads + h) * key_dim, 1, key_dim, key);
    prepared.products[head] = dot(query, key, key_dim);
  }
  const float *const a = as_floats(delta.a) + row * value_heads, *const b = as_floats(delta.b) + row * value_heads;
  for (int64_t h = 0; h < value_heads; h += kLanes) {
    const int n = lanes_of(value_heads - h);
    const Vec rate = exp(load_n(delta.decay + h, n)), step = softplus(load_n(a + h, n) + load_n(delta.bias + h, n));
    store_n(prepared.decays + row * value_heads + h, exp(-rate * step), n);
    store_n(prepared.betas + row * value_heads + h, sigmoid(load_n(b + h, n)), n);
  }
}

}  // namespace

PreparedRows::PreparedRows(const RecurrentShape& shape, int64_t rows, void* workspace) : shape(shape) {
  auto* const base = static_cast<float*>(workspace);
  const int64_t keys_floats = rows * shape.key_heads * shape.key_dim;
  const int64_t products_floats = cache_lines<float>(rows * shape.key_heads);
  const int64_t gates_floats = cache_lines<float>(rows * shape.value_heads);
  keys = base;
  queries = keys + keys_floats;
  products = queries + keys_floats;
  decays = products + products_floats;
  betas = decays + gates_floats;
  bytes = bytes_of<float>(2 * keys_floats + products_floats + 2 * gates_floats);
}

void prepare_rows(const DeltaRows& delta, const int32_t* rows, int64_t count, const PreparedRows& prepared,
                  const Context& context) {
  constexpr int64_t kTogether = 8;  // fewer are done before another thread is awake
  split(context, count, kTogether, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) prepare_row(delta, rows ? rows[i] : i, prepared);
  });
}

}  // namespace foretoken::cpu::FORETOKEN_ISA
