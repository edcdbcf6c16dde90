// What the loss does with the sums of its products while they lie in registers.
#pragma once

#include "csrc/cuda/exp.cuh"
#include "csrc/cuda/gemm_epilogues.cuh"
#include "csrc/cuda/linear_cross_entropy.cuh"
#include "csrc/cuda/ptx_hopper.cuh"

namespace foretoken::cuda::loss {

// Logits: bias and softcap, then a Partial for each row and strip, and the logits themselves where gradients are
// wanted. To count ranks without logits in memory the same product runs once more, and the same kernel, so that every
// logit has the bits that the target's was found with.
struct ReduceLogits {
  Chunk chunk;
  const float* bias;  // or null
  float softcap;
  int32_t* rank;  // of all rows; null: not counting

  FORETOKEN_DEVICE bool wanted() const { return chunk.progress->size > 0; }

  template <typename Fragment>
  FORETOKEN_DEVICE void operator()(const Fragment& fragment) const {
    static_assert(Fragment::kStrip == kStripWidth);
#pragma unroll
    for (int i = 0; i < Fragment::kRows; ++i) {
      float z[Fragment::kCols];
#pragma unroll
      for (int j = 0; j < Fragment::kCols; ++j) {
        z[j] = fragment.at(i, j);
        if (bias && fragment.has_col(j)) z[j] += bias[fragment.col(j)];
      }
      if (softcap > 0) {
#pragma unroll
        for (int j = 0; j < Fragment::kCols; ++j) z[j] = tanh(z[j] / softcap) * softcap;
      }
      // What is behind the vocabulary is a logit that never counts.
#pragma unroll
      for (int j = 0; j < Fragment::kCols; ++j) {
        if (!fragment.has_col(j)) z[j] = -INFINITY;
      }
      if (rank) count(fragment, i, z);
      else reduce(fragment, i, z);
    }
  }

 private:
  template <typename Fragment>
  FORETOKEN_DEVICE void reduce(const Fragment& fragment, int i, float (&z)[Fragment::kCols]) const {
    const int64_t row = fragment.row(i);
    const int64_t target = fragment.has_row(i) ? chunk.targets[row] : -1;
    float largest = -INFINITY;
    auto argmax = static_cast<int32_t>(fragment.col(0));
#pragma unroll
    for (int j = 0; j < Fragment::kCols; ++j) {
      if (z[j] > largest) {
        largest = z[j];
        argmax = static_cast<int32_t>(fragment.col(j));
      }
    }
#pragma unroll
    for (int distance = 1; distance <= 2; ++distance) {
      const float other = __shfl_xor_sync(kAllLanes, largest, distance);
      const int32_t other_argmax = __shfl_xor_sync(kAllLanes, argmax, distance);
      if (other > largest || (other == largest && other_argmax < argmax)) {
        largest = other;
        argmax = other_argmax;
      }
    }

    const float base = largest == -INFINITY ? 0 : largest;
    Partial partial = {largest, 0, 0, 0};
#pragma unroll
    for (int j = 0; j < Fragment::kCols; ++j) {
      const float distance = z[j] - base;
      const float t = distance < kFloor ? kFloor : distance;  // NaN stays
      if (fragment.has_col(j)) partial.distances += distance;
      const float e = exp(t);
      if (fragment.col(j) == target) {
        chunk.own[row] = z[j];
      } else {
        partial.sum += e;
        partial.weighted = fmaf(e, t, partial.weighted);
      }
      if (chunk.exponentials.data) z[j] = fragment.has_col(j) ? e * through_softcap(z[j], softcap) : 0;
    }
    partial.sum = reduce_quad(partial.sum, Sum());
    partial.weighted = reduce_quad(partial.weighted, Sum());
    partial.distances = reduce_quad(partial.distances, Sum());

    if (!fragment.has_row(i)) return;
    if (leads_quad()) {
      const int64_t place = row * chunk.strips + fragment.strip();
      chunk.partials[place] = partial;
      chunk.argmaxes[place] = argmax;
    }
    if (chunk.exponentials.data) keep(fragment, row, z, base);
    if (chunk.logits == nullptr) return;
#pragma unroll
    for (int j = 0; j < Fragment::kCols; j += 2) {
      // What is behind the vocabulary, too, so that whole vectors can be read; the stride is even.
      if (fragment.col(j) < chunk.stride) store(chunk.logits + row * chunk.stride + fragment.col(j), {z[j], z[j + 1]});
    }
  }

  // Exponentials relative to the largest logit, as ones relative to an integer power of two.
  template <typename Fragment>
  FORETOKEN_DEVICE void keep(const Fragment& fragment, int64_t row, const float (&exponentials)[Fragment::kCols],
                             float largest) const {
    const float k = exponent_of(largest);
    const float scale = exp2f(fmaf(largest, kLog2E, -k) + largest * kLog2ERest);  // from ½ to 1
#pragma unroll
    for (int j = 0; j < Fragment::kCols; j += 2) {
      if (fragment.col(j) >= chunk.stride) break;
      store(chunk.exponentials.data + row * chunk.stride + fragment.col(j),
            {exponentials[j] * scale, exponentials[j + 1] * scale});
    }
  }

  // How many logits of the strip come before the target's in the order of argmax.
  template <typename Fragment>
  FORETOKEN_DEVICE void count(const Fragment& fragment, int i, const float (&z)[Fragment::kCols]) const {
    const int64_t row = fragment.row(i);
    const int64_t target = fragment.has_row(i) ? chunk.targets[row] : -1;
    const float own = fragment.has_row(i) ? chunk.own[row] : 0;
    int32_t better = 0;
#pragma unroll
    for (int j = 0; j < Fragment::kCols; ++j) {
      const int64_t column = fragment.col(j);
      if (fragment.has_col(j) && column != target) better += column < target ? z[j] >= own : z[j] > own;
    }
    better = reduce_quad(better, Sum());
    if (fragment.has_row(i) && leads_quad() && better > 0) atomicAdd(&rank[chunk.rows[row]], better);
  }
};

// The gradient of the unembedding. Its sums go on from what is there, so that all chunks are one long sum.
struct ExtendSums {
  const Progress* progress;
  const ErrorRecord* record;
  float* sums;
  int64_t stride;

  FORETOKEN_DEVICE bool wanted() const { return progress->size > 0 && !has_error(record); }

  template <typename Fragment>
  FORETOKEN_DEVICE void begin(Fragment& fragment) const {
    fragment.clear();
    const bool in_pairs = stride % 2 == 0 && reinterpret_cast<uintptr_t>(sums) % 8 == 0;
#pragma unroll
    for (int i = 0; i < Fragment::kRows; ++i) {
      if (!fragment.has_row(i)) break;
#pragma unroll
      for (int j = 0; j < Fragment::kCols; j += 2) {
        if (!fragment.has_col(j)) break;
        const float* const place = sums + fragment.row(i) * stride + fragment.col(j);
        float pair[2] = {};
        if (in_pairs && fragment.has_col(j + 1)) {
          load<2>(place, pair);
        } else {
          pair[0] = place[0];
          if (fragment.has_col(j + 1)) pair[1] = place[1];
        }
        fragment.at(i, j) = pair[0];
        fragment.at(i, j + 1) = pair[1];
      }
    }
  }

  template <typename Fragment>
  FORETOKEN_DEVICE void operator()(const Fragment& fragment) const {
    Store{sums, DType::kFloat32, stride}(fragment);
  }
};

// The same on compute capability 9.0, where no lane waits for what is there: warps lay their sums down in shared
// memory, and the copy engine has the second-level cache add them. The sum of each chunk is rounded before, so the bits
// depend on where chunks end, which the shape says; each element is added to once a chunk.
struct AddByEngine {
  static constexpr int kBoxRows = 16, kBoxCols = 32;  // 128 bytes a row, the most that can be swizzled
  static constexpr int kBoxes = 2;                    // of a strip; one is filled while the engine reads the other
  struct alignas(1024) WarpMemory {
    float boxes[kBoxes][kBoxRows * kBoxCols];
  };

  AddByEngine(const Chunk& chunk, const ErrorRecord* record, float* sums, int64_t rows, int64_t stride)
      : map(encode_tensor_map({.address = sums,
                               .element = TensorElement::kFloat32,
                               .columns = static_cast<uint64_t>(stride),
                               .rows = static_cast<uint64_t>(rows),
                               .row_bytes = static_cast<uint64_t>(stride) * sizeof(float),
                               .box_columns = kBoxCols,
                               .box_rows = kBoxRows,
                               .swizzle = Swizzle::k128Bytes})),
        progress(chunk.progress),
        record(record) {}

  // Whether the engine can write rows of this stride.
  static bool fits(const float* sums, int64_t stride) {
    return stride % 4 == 0 && reinterpret_cast<uintptr_t>(sums) % 16 == 0;
  }

  TensorMap map;
  const Progress* progress;
  const ErrorRecord* record;

  FORETOKEN_DEVICE bool wanted() const { return progress->size > 0 && !has_error(record); }

  template <typename Fragment>
  FORETOKEN_DEVICE void operator()(const Fragment& fragment, WarpMemory& memory) const {
    static_assert(Fragment::kRows == 2 && Fragment::kStrip == kBoxes * kBoxCols);
    const int lane = static_cast<int>(threadIdx.x % kWarp);
#pragma unroll
    for (int b = 0; b < kBoxes; ++b) {
      if (lane == 0) ptx::bulk_wait_read<kBoxes - 1>();
      __syncwarp();
#pragma unroll
      for (int j = b * Fragment::kCols / kBoxes; j < (b + 1) * Fragment::kCols / kBoxes; j += 2) {
#pragma unroll
        for (int i = 0; i < Fragment::kRows; ++i) {
          store(element(memory.boxes[b], lane / 4 + 8 * i, j * 4 % kBoxCols + lane % 4 * 2),
                {fragment.at(i, j), fragment.at(i, j + 1)});
        }
      }
      ptx::fence_proxy_async();
      __syncwarp();
      if (lane == 0) {
        ptx::tensor_reduce_add(&map, static_cast<int>(fragment.first_col) + b * kBoxCols,
                               static_cast<int>(fragment.first_row), memory.boxes[b]);
        ptx::bulk_commit();
      }
    }
  }

  // A block's shared memory is another's when it ends.
  FORETOKEN_DEVICE void end() const {
    if (threadIdx.x % kWarp == 0) ptx::bulk_wait_read<0>();
  }

 private:
  static FORETOKEN_DEVICE float* element(float* box, int row, int col) {
    return box + row * kBoxCols + (col / 4 ^ row % 8) * 4 + col % 4;
  }
};

}  // namespace foretoken::cuda::loss
