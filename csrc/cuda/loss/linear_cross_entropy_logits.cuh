// The epilogue of the product that computes logits: it reduces them while they lie in registers.
#pragma once

#include "csrc/cuda/common/exp.cuh"
#include "csrc/cuda/common/reduce.cuh"
#include "csrc/cuda/loss/linear_cross_entropy.cuh"

namespace foretoken::cuda::loss {

// Applies bias and softcap, and writes a Partial for each row and strip; if gradients are wanted, also the logits
// themselves or their exponentials. Without gradients logits never exist in memory; counting ranks then runs the same
// kernel once more, so that every logit has the same bits as when the target's was found.
//
// The tensor cores idle while a tile goes through this epilogue. So it computes only what is wanted, and two rows at a
// time, whose instructions do not depend on each other. All strips and pairs of rows run through the same instructions
// in loops: unrolled, the code exceeds the instruction caches, and fetching it takes longer than the product.
struct ReduceLogits {
  using Hooks = HookList<Hook::kPrepare, Hook::kRollStrips>;

  Chunk chunk;
  const float* bias;  // or null
  float softcap;
  bool distances, weighted;  // whether partials need these members
  bool argmax;               // whether it is wanted
  int32_t* rank;             // of all rows; if not null, the kernel counts ranks and does nothing else

  ReduceLogits(const LinearCrossEntropyArgs& args, const Chunk& chunk, int32_t* rank)
      : chunk(chunk),
        bias(args.bias),
        softcap(args.options.softcap),
        distances(args.options.label_smoothing != 0),
        weighted(args.entropy != nullptr || args.options.entropy_weight != 0),
        argmax(args.argmax != nullptr),
        rank(rank) {}

  FORETOKEN_DEVICE bool wanted() const { return chunk.progress->size > 0; }

  struct Row {
    int32_t target;
    float base;
  };
  template <typename Fragment>
  struct Rows {
    Row rows[Fragment::kRows];
  };

  template <typename Fragment>
  FORETOKEN_DEVICE Rows<Fragment> prepare(const Fragment& fragment) const {
    Rows<Fragment> rows;
#pragma unroll
    for (int i = 0; i < Fragment::kRows; ++i) rows.rows[i] = row(fragment, i);
    return rows;
  }

  template <typename Fragment>
  FORETOKEN_DEVICE void operator()(const Fragment& fragment, const Rows<Fragment>& rows) const {
    run(fragment, [&](int i) { return element<Fragment::kRows>(i, [&](int r) { return rows.rows[r]; }); });
  }

  template <typename Fragment>
  FORETOKEN_DEVICE void operator()(const Fragment& fragment) const {
    run(fragment, [&](int i) { return row(fragment, i); });
  }

 private:
  // The number of rows at a time: as many as fit into registers beside the sums.
  template <typename Fragment>
  static constexpr int kTogether = Fragment::kRows == 2 ? 2 : 1;

  template <typename Fragment>
  struct Together {
    float z[kTogether<Fragment>][Fragment::kCols];
    int64_t rows[kTogether<Fragment>];
    bool is_row[kTogether<Fragment>];
    int targets[kTogether<Fragment>];  // their places in z; kCols or more if this lane does not hold them
    float bases[kTogether<Fragment>];
  };

  template <typename Fragment>
  FORETOKEN_DEVICE Row row(const Fragment& fragment, int i) const {
    if (!fragment.has_row(i)) return {-1, 0};
    return {chunk.targets[fragment.row(i)], base_of(chunk.exponentials, fragment.row(i))};
  }

  template <typename Fragment, typename RowAt>
  FORETOKEN_DEVICE void run(const Fragment& fragment, RowAt&& row_at) const {
    static_assert(Fragment::kStrip == kStripWidth && Fragment::kRows % kTogether<Fragment> == 0);
#pragma unroll 1
    for (int first = 0; first < Fragment::kRows; first += kTogether<Fragment>) {
      Together<Fragment> together;
#pragma unroll
      for (int i = 0; i < kTogether<Fragment>; ++i) {
        const Row row = row_at(first + i);
        together.rows[i] = fragment.row(first + i);
        together.is_row[i] = fragment.has_row(first + i);
        together.targets[i] = place_of_target(fragment, row.target);
        together.bases[i] = row.base;
#pragma unroll
        for (int j = 0; j < Fragment::kCols; ++j) {
          together.z[i][j] = element<Fragment::kRows>(first + i, [&](int r) { return fragment.at(r, j); });
        }
      }
      finish_logits(fragment, together.z);
      if (rank) count_better(fragment, together);
      else reduce(fragment, together);
    }
  }

  // at(i) of registers, for an i that is not a constant.
  template <int kCount, typename At>
  static FORETOKEN_DEVICE auto element(int i, At&& at) {
    auto element = at(0);
#pragma unroll
    for (int other = 1; other < kCount; ++other) element = i == other ? at(other) : element;
    return element;
  }

  template <typename Fragment>
  static FORETOKEN_DEVICE int place_of_target(const Fragment& fragment, int32_t target) {
    const auto behind = static_cast<uint32_t>(target) - static_cast<uint32_t>(fragment.col(0));
    return behind < kStripWidth && behind % 8 < 2 ? static_cast<int>(behind / 8 * 2 + behind % 2) : Fragment::kCols;
  }

  // The column of element j of z, relative to the lane's first column.
  static FORETOKEN_DEVICE int column(int j) { return j / 2 * 8 + j % 2; }

  template <typename Fragment>
  FORETOKEN_DEVICE void finish_logits(const Fragment& fragment,
                                      float (&z)[kTogether<Fragment>][Fragment::kCols]) const {
    if (bias) {
#pragma unroll
      for (int j = 0; j < Fragment::kCols; ++j) {
        const float own = fragment.has_col(j) ? bias[fragment.col(j)] : 0;
#pragma unroll
        for (int i = 0; i < kTogether<Fragment>; ++i) z[i][j] += own;
      }
    }
    if (softcap > 0) {
#pragma unroll
      for (int j = 0; j < Fragment::kCols; ++j) {
#pragma unroll
        for (int i = 0; i < kTogether<Fragment>; ++i) z[i][j] = apply_softcap(z[i][j], softcap);
      }
    }
    if (fragment.first_col + kStripWidth <= fragment.n) return;
      // Columns after the vocabulary get a logit that never counts.
#pragma unroll
    for (int j = 0; j < Fragment::kCols; ++j) {
#pragma unroll
      for (int i = 0; i < kTogether<Fragment>; ++i) z[i][j] = fragment.has_col(j) ? z[i][j] : -INFINITY;
    }
  }

  // Writes the partials of these rows, and what gradients need.
  template <typename Fragment>
  FORETOKEN_DEVICE void reduce(const Fragment& fragment, Together<Fragment>& together) const {
    constexpr int kCols = Fragment::kCols;
    auto& z = together.z;
    Partial partials[kTogether<Fragment>];
    float references[kTogether<Fragment>];
#pragma unroll
    for (int i = 0; i < kTogether<Fragment>; ++i) {
      float largest = -INFINITY;
#pragma unroll
      for (int j = 0; j < kCols; ++j) largest = z[i][j] > largest ? z[i][j] : largest;  // skips NaN
      partials[i] = {reduce_quad(largest, Max()), 0, 0, 0};
      references[i] = reference_of(partials[i].largest, together.bases[i]);
    }
    if (argmax) find_argmax(fragment, together, partials);
    if (distances) {
#pragma unroll
      for (int i = 0; i < kTogether<Fragment>; ++i) {
#pragma unroll
        for (int j = 0; j < kCols; ++j) {
          if (fragment.has_col(j)) partials[i].distances += z[i][j] - references[i];
        }
        partials[i].distances = reduce_quad(partials[i].distances, Sum());
      }
    }
    if (chunk.logits) write(fragment, together, chunk.logits, z);
#pragma unroll
    for (int i = 0; i < kTogether<Fragment>; ++i) {
      if (together.targets[i] >= kCols) continue;
#pragma unroll
      for (int j = 0; j < kCols; ++j) {
        if (j != together.targets[i]) continue;
        chunk.own[together.rows[i]] = z[i][j];
        z[i][j] = -INFINITY;
      }
    }
    float e[kTogether<Fragment>][kCols];
#pragma unroll
    for (int j = 0; j < kCols; ++j) {
#pragma unroll
      for (int i = 0; i < kTogether<Fragment>; ++i) {
        e[i][j] = exp_or_zero(z[i][j] - references[i]);
        partials[i].sum += e[i][j];
      }
    }
#pragma unroll
    for (int i = 0; i < kTogether<Fragment>; ++i) partials[i].sum = reduce_quad(partials[i].sum, Sum());
    if (weighted) {
#pragma unroll
      for (int i = 0; i < kTogether<Fragment>; ++i) {
        const float largest = partials[i].largest == -INFINITY ? 0 : partials[i].largest;
#pragma unroll
        for (int j = 0; j < kCols; ++j) {
          const float distance = z[i][j] - largest;
          partials[i].weighted = fmaf(e[i][j], distance < kFloor ? kFloor : distance, partials[i].weighted);
        }
        partials[i].weighted = reduce_quad(partials[i].weighted, Sum());
      }
    }
    if (leads_quad()) {
#pragma unroll
      for (int i = 0; i < kTogether<Fragment>; ++i) {
        if (together.is_row[i]) chunk.partials[together.rows[i] * chunk.strips + fragment.strip()] = partials[i];
      }
    }
    if (chunk.exponentials.data == nullptr) return;
    if (softcap > 0) {
#pragma unroll
      for (int j = 0; j < kCols; ++j) {
#pragma unroll
        for (int i = 0; i < kTogether<Fragment>; ++i) e[i][j] *= e[i][j] > 0 ? softcap_slope(z[i][j], softcap) : 1;
      }
    }
    write(fragment, together, chunk.exponentials.data, e);
  }

  // Writes the first column that holds the largest logit of the strip.
  template <typename Fragment>
  FORETOKEN_DEVICE void find_argmax(const Fragment& fragment, const Together<Fragment>& together,
                                    const Partial (&partials)[kTogether<Fragment>]) const {
#pragma unroll
    for (int i = 0; i < kTogether<Fragment>; ++i) {
      constexpr int32_t kNone = INT32_MAX;
      const auto first = static_cast<int32_t>(fragment.col(0));
      int32_t own = kNone;
#pragma unroll
      for (int j = Fragment::kCols - 1; j >= 0; --j) {
        own = together.z[i][j] == partials[i].largest ? first + column(j) : own;
      }
      own = reduce_quad(own, Min());
      // All logits are NaN, so any column will do.
      if (own == kNone) own = static_cast<int32_t>(fragment.first_col);
      if (leads_quad() && together.is_row[i]) chunk.argmaxes[together.rows[i] * chunk.strips + fragment.strip()] = own;
    }
  }

  // Writes values, also those after the vocabulary up to the stride, which is even, so that whole vectors can be read.
  template <typename Fragment, typename T>
  FORETOKEN_DEVICE void write(const Fragment& fragment, const Together<Fragment>& together, T* rows,
                              const float (&values)[kTogether<Fragment>][Fragment::kCols]) const {
    const int64_t room = chunk.stride - fragment.col(0);
#pragma unroll
    for (int i = 0; i < kTogether<Fragment>; ++i) {
      if (!together.is_row[i]) continue;
      T* const to = rows + together.rows[i] * chunk.stride + fragment.col(0);
#pragma unroll
      for (int j = 0; j < Fragment::kCols; j += 2) {
        if (column(j) < room) store(to + column(j), {values[i][j], values[i][j + 1]});
      }
    }
  }

  // Adds to the ranks of these rows how many logits of the strip come before the target's in the order of argmax.
  template <typename Fragment>
  FORETOKEN_DEVICE void count_better(const Fragment& fragment, const Together<Fragment>& together) const {
#pragma unroll
    for (int i = 0; i < kTogether<Fragment>; ++i) {
      const int64_t row = together.rows[i];
      const int64_t target = together.is_row[i] ? chunk.targets[row] : -1;
      const float own = together.is_row[i] ? chunk.own[row] : 0;
      int32_t better = 0;
#pragma unroll
      for (int j = 0; j < Fragment::kCols; ++j) {
        const int64_t at = fragment.col(j);
        const float logit = together.z[i][j];
        if (fragment.has_col(j) && at != target) better += at < target ? logit >= own : logit > own;
      }
      better = reduce_quad(better, Sum());
      if (together.is_row[i] && leads_quad() && better > 0) atomicAdd(&rank[chunk.rows[row]], better);
    }
  }
};

}  // namespace foretoken::cuda::loss
