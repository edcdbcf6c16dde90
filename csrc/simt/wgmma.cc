#include "csrc/simt/wgmma.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>

#include "csrc/simt/collective.h"
#include "csrc/simt/memory_access.h"
#include "csrc/simt/poison.h"
#include "csrc/simt/scheduler.h"
#include "csrc/simt/tensor_map.h"

namespace foretoken::simt {

namespace {

constexpr uint32_t kWarps = 4;   // of a group
constexpr uint32_t kRows = 16;   // of a warp
constexpr uint32_t kDepth = 16;  // of a product
constexpr uint32_t kMostColumns = 256;
constexpr uint32_t kElement = 2, kChunkElements = 8;  // 16 bytes, which every swizzle keeps together

// An operand in shared memory, as csrc/cuda/ptx/ptx_wgmma.cuh describes it.
struct Operand {
  uint32_t start, leading, stride, swizzle_bytes;
  bool transposed;

  Operand(uint64_t description, bool transposed)
      : start(static_cast<uint32_t>(description & 0x3fff) << 4),
        leading(static_cast<uint32_t>(description >> 16 & 0x3fff) << 4),
        stride(static_cast<uint32_t>(description >> 32 & 0x3fff) << 4),
        transposed(transposed) {
    static constexpr uint32_t kBytes[] = {0, 128, 64, 32};
    swizzle_bytes = kBytes[description >> 62];
    if (description >> 49 & 7) fail("wgmma: base offsets of operands are not emulated");
  }

  // Returns the offset of the chunk that begins with this row of m or n and this column of k.
  uint32_t chunk(uint32_t row, uint32_t column) const {
    const uint32_t line = transposed ? column : row, along = transposed ? row : column;
    uint32_t offset;
    if (swizzle_bytes == 0) {
      const uint32_t to_next_lines = transposed ? leading : stride, to_next_chunk = transposed ? stride : leading;
      offset = line % 8 * 16 + line / 8 * to_next_lines + along / kChunkElements * to_next_chunk;
    } else {
      // A line of k has one piece of `swizzle_bytes`; a line of m or n may have several.
      const uint32_t elements = swizzle_bytes / kElement;
      offset = line % 8 * swizzle_bytes + line / 8 * stride + along % elements * kElement + along / elements * leading;
    }
    return swizzled(start + offset, swizzle_bytes);
  }

  // Calls f(row, column, offset in shared memory) for the chunks of `rows` rows from `first` on.
  template <typename F>
  void for_each_chunk(uint32_t first, uint32_t rows, F&& f) const {
    const uint32_t row_step = transposed ? kChunkElements : 1, column_step = transposed ? 1 : kChunkElements;
    for (uint32_t row = first; row < first + rows; row += row_step) {
      for (uint32_t column = 0; column < kDepth; column += column_step) f(row, column, chunk(row, column));
    }
  }
};

float float_of(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

// Reads `rows` rows of an operand from `first` on, and calls store(row - first, column, value) for each element.
template <typename Store>
void read(SharedMemory& shared, const Operand& operand, uint32_t first, uint32_t rows, Store&& store) {
  operand.for_each_chunk(first, rows, [&](uint32_t row, uint32_t column, uint32_t offset) {
    uint16_t elements[kChunkElements];
    std::memcpy(elements, shared.at(offset), sizeof elements);
    for (uint32_t i = 0; i < kChunkElements; ++i) {
      if (operand.transposed) store(row - first + i, column, float_of(elements[i]));
      else store(row - first, column + i, float_of(elements[i]));
    }
  });
}

// The row and column of the warp's sums that register i of a lane holds.
uint32_t sum_row(uint32_t lane, uint32_t i) { return lane / 4 + 8 * (i / 2 % 2); }
uint32_t sum_column(uint32_t lane, uint32_t i) { return 8 * (i / 4) + 2 * (lane % 4) + i % 2; }

uint32_t warp_in_group(const Warp& warp) { return static_cast<uint32_t>(&warp - warp.block->warps.data()) % kWarps; }

WarpgroupProducts& group_of(const Warp& warp) {
  return warp.block->warpgroups[static_cast<size_t>(&warp - warp.block->warps.data()) / kWarps];
}

void compute(Warp& warp, WgmmaProduct& product) {
  SharedMemory& shared = warp.block->shared;
  const auto columns = static_cast<uint32_t>(product.issue.columns);
  float a[kRows][kDepth];
  // On the heap, because a library that is loaded late has little room for thread-local variables.
  struct Scratch {
    float b[kDepth][kMostColumns], totals[kMostColumns];
  };
  static thread_local const auto scratch = std::make_unique<Scratch>();
  auto& [b, totals] = *scratch;
  if (product.issue.a_registers) {
    for (uint32_t lane = 0; lane < kLanes; ++lane) {
      for (uint32_t i = 0; i < 4; ++i) {
        float* const to = &a[lane / 4 + 8 * (i % 2)][2 * (lane % 4) + 8 * (i / 2)];
        to[0] = float_of(static_cast<uint16_t>(product.a[lane][i]));
        to[1] = float_of(static_cast<uint16_t>(product.a[lane][i] >> 16));
      }
    }
  } else {
    read(shared, Operand(product.issue.a, product.issue.transpose_a), kRows * warp_in_group(warp), kRows,
         [&](uint32_t row, uint32_t k, float value) { a[row][k] = value; });
  }
  read(shared, Operand(product.issue.b, product.issue.transpose_b), 0, columns,
       [&](uint32_t row, uint32_t k, float value) { b[k][row] = value; });
  float* sums = warp.products.sums[product.sums].values.data();
  for (uint32_t row = 0; row < kRows; ++row, sums += columns) {
    std::fill_n(totals, columns, 0.0f);
    for (uint32_t k = 0; k < kDepth; ++k) {
      const float factor = a[row][k];
      for (uint32_t j = 0; j < columns; ++j) totals[j] += factor * b[k][j];
    }
    for (uint32_t j = 0; j < columns; ++j) sums[j] = product.issue.accumulate ? sums[j] + totals[j] : totals[j];
  }
}

// Returns the index of the sums of these registers. Takes them from the registers unless a pending product uses them.
size_t take_sums(Warp& warp) {
  auto& all = warp.products.sums;
  const auto issue_of = [&](uint32_t lane) -> const WgmmaIssue& {
    return *static_cast<const WgmmaIssue*>(warp.operands[lane]);
  };
  for (size_t i = 0; i < all.size(); ++i) {
    if (all[i].registers[0] == issue_of(0).d) return i;
  }
  WgmmaSums& sums = all.emplace_back();
  sums.columns = issue_of(0).columns;
  sums.values.resize(kRows * static_cast<size_t>(sums.columns));
  for (uint32_t lane = 0; lane < kLanes; ++lane) {
    float* const registers = sums.registers[lane] = issue_of(lane).d;
    for (uint32_t i = 0; i < static_cast<uint32_t>(sums.columns) / 2; ++i) {
      sums.values[sum_row(lane, i) * static_cast<size_t>(sums.columns) + sum_column(lane, i)] = registers[i];
    }
    poison(registers, sizeof(float) * static_cast<size_t>(sums.columns) / 2);
  }
  return all.size() - 1;
}

void write_back(const WgmmaSums& sums) {
  for (uint32_t lane = 0; lane < kLanes; ++lane) {
    for (uint32_t i = 0; i < static_cast<uint32_t>(sums.columns) / 2; ++i) {
      sums.registers[lane][i] = sums.values[sum_row(lane, i) * static_cast<size_t>(sums.columns) + sum_column(lane, i)];
    }
  }
}

// Finishes products of groups before `end`, in order, and writes sums that no other product adds to back to registers.
void finish_products(Warp& warp, uint32_t end) {
  WarpProducts& products = warp.products;
  size_t finished = 0;
  for (; finished < products.pending.size() && products.pending[finished].group < end; ++finished) {
    compute(warp, products.pending[finished]);
  }
  products.pending.erase(products.pending.begin(), products.pending.begin() + static_cast<ptrdiff_t>(finished));
  for (size_t i = products.sums.size(); i-- > 0;) {
    const auto uses = [i](const WgmmaProduct& product) { return product.sums == i; };
    if (std::any_of(products.pending.begin(), products.pending.end(), uses)) continue;
    write_back(products.sums[i]);
    products.sums.erase(products.sums.begin() + static_cast<ptrdiff_t>(i));
    for (WgmmaProduct& product : products.pending) product.sums -= product.sums > i;
  }
}

bool same(const WgmmaIssue& x, const WgmmaIssue& y) {
  return x.a == y.a && x.b == y.b && x.columns == y.columns && x.accumulate == y.accumulate &&
         x.transpose_a == y.transpose_a && x.transpose_b == y.transpose_b &&
         (x.a_registers == nullptr) == (y.a_registers == nullptr);
}

// Fails if the four warps of a group issue different products.
void compare_with_group(Warp& warp, const WgmmaIssue& issue) {
  WarpgroupProducts& group = group_of(warp);
  const uint64_t number = warp.products.issued++;
  if (number == group.first + group.issues.size()) group.issues.push_back(issue);
  else if (!same(group.issues[number - group.first], issue))
    fail("wgmma: the warps of a group issue different products");
  const size_t first_warp = static_cast<size_t>(&warp - warp.block->warps.data()) / kWarps * kWarps;
  uint64_t oldest = number;
  for (size_t i = first_warp; i < first_warp + kWarps; ++i) {
    oldest = std::min(oldest, warp.block->warps[i].products.issued);
  }
  for (; group.first < oldest; ++group.first) group.issues.pop_front();
}

// Checks the tensor core's reads of the operands, which it makes between now and the wait for the product.
void check_operands(Warp& warp, const WgmmaIssue& issue) {
  SharedMemory& shared = warp.block->shared;
  Thread& thread = current_thread();
  RaceChecker* const checker = current_launch->checker;
  if (checker) {
    ClockSum known;
    for (Thread* lane : warp.threads) known.add(checker->clocks(), lane->actor);
    warp.tensor_core.known = checker->clocks().joined(warp.tensor_core.known, known.take());
  }
  const auto check = [&](const Operand& operand, uint32_t first, uint32_t rows) {
    operand.for_each_chunk(first, rows, [&](uint32_t, uint32_t, uint32_t offset) {
      if (!shared.is_allocated(offset, 16)) {
        fail("wgmma: the operand lies out of bounds: " + shared.describe(offset, 16));
      }
      check_access_of(warp.tensor_core, thread, shared.at(offset), 16, kRead | kAsync, thread.place.code);
    });
  };
  if (!issue.a_registers) check(Operand(issue.a, issue.transpose_a), kRows * warp_in_group(warp), kRows);
  check(Operand(issue.b, issue.transpose_b), 0, static_cast<uint32_t>(issue.columns));
}

void execute_issue(Warp& warp, uint32_t) {
  WarpProducts& products = warp.products;
  const auto& issue = *static_cast<const WgmmaIssue*>(warp.operands[0]);
  if (!products.fenced) fail("wgmma: no wgmma.fence before the first product");
  for (void* operand : warp.operands) {
    if (!same(*static_cast<const WgmmaIssue*>(operand), issue))
      fail("wgmma: the lanes of a warp issue different products");
  }
  compare_with_group(warp, issue);
  check_operands(warp, issue);
  const size_t sums = take_sums(warp);
  if (products.sums[sums].columns != issue.columns) fail("wgmma: sums of different shapes share registers");
  WgmmaProduct& product = products.pending.emplace_back();
  product.issue = issue;
  product.sums = sums;
  product.group = products.groups;
  product.time = warp.tensor_core.time;
  warp.tensor_core.advance();
  if (issue.a_registers) {
    for (uint32_t lane = 0; lane < kLanes; ++lane) {
      const uint32_t* const a = static_cast<const WgmmaIssue*>(warp.operands[lane])->a_registers;
      std::copy_n(a, 4, product.a[lane]);
    }
  }
  Launch& launch = *current_launch;
  const AsyncCopies when = launch.options.async_copies;
  if (when == AsyncCopies::kEarly || (when == AsyncCopies::kRandom && launch.random.below(2))) {
    finish_products(warp, products.groups + 1);
  }
}

void execute_wait(Warp& warp, uint32_t) {
  WarpProducts& products = warp.products;
  const uint32_t groups = *static_cast<const uint32_t*>(warp.operands[0]);
  finish_products(warp, products.groups > groups ? products.groups - groups : 0);
  RaceChecker* const checker = current_launch->checker;
  if (!checker) return;
  const uint32_t time = products.pending.empty() ? warp.tensor_core.time - 1 : products.pending.front().time - 1;
  for (Thread* thread : warp.threads) {
    thread->actor.known = checker->clocks().with(thread->actor.known, warp.tensor_core.index, time);
  }
}

void meet_warp(CollectiveKind kind, const char* operation, const void* code, void* operand, ExecuteCollective execute) {
  Thread& thread = begin_operation(operation, code);
  const Block& block = *thread.block;
  const size_t warp = static_cast<size_t>(thread.warp - block.warps.data());
  if (warp / kWarps * kWarps + kWarps > block.warps.size() || thread.warp->lanes != kAllLanes) {
    fail(std::string(operation) + ": the block has no four whole warps here");
  }
  meet(kAllLanes, kind, operand, execute);
}

}  // namespace

void issue_wgmma(const WgmmaIssue& issue) {
  WgmmaIssue own = issue;
  meet_warp(CollectiveKind::kWgmma, "wgmma.mma_async", __builtin_return_address(0), &own, execute_issue);
}

std::string problem_of_products(const Thread& thread) {
  return thread.warp->products.pending.empty() ? "" : "the thread exits with products that it has not waited for";
}

std::string problem_of_products(const Block& block) {
  for (size_t i = 0; i + kWarps <= block.warps.size(); i += kWarps) {
    for (size_t j = i + 1; j < i + kWarps; ++j) {
      if (block.warps[j].products.issued != block.warps[i].products.issued) {
        return "wgmma: not all four warps of a group issued the same number of products";
      }
    }
  }
  return "";
}

}  // namespace foretoken::simt

namespace foretoken::simt::ptx {

void wgmma_fence_registers() {
  meet_warp(CollectiveKind::kWgmmaFence, "wgmma.fence", __builtin_return_address(0), nullptr,
            [](Warp& warp, uint32_t) { warp.products.fenced = true; });
}

void wgmma_commit() {
  meet_warp(CollectiveKind::kWgmmaCommit, "wgmma.commit_group", __builtin_return_address(0), nullptr,
            [](Warp& warp, uint32_t) { ++warp.products.groups; });
}

void wgmma_wait_groups(uint32_t groups) {
  meet_warp(CollectiveKind::kWgmmaWait, "wgmma.wait_group", __builtin_return_address(0), &groups, execute_wait);
}

}  // namespace foretoken::simt::ptx
