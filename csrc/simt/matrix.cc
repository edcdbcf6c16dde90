// ldmatrix and mma.sync, which distribute small matrices over the lanes of a warp.
#include <bit>
#include <cstring>

#include "csrc/simt/collective.h"
#include "csrc/simt/memory_access.h"
#include "csrc/simt/ptx_checks.h"
#include "csrc/simt/scheduler.h"

namespace foretoken::simt {

namespace {

constexpr size_t kRowBytes = 16;  // 8 elements

struct LoadOperand {
  uint32_t* tiles;
  const unsigned char* row;
};

template <int kTiles, bool kTransposed>
void execute_load(Warp& warp, uint32_t) {
  const auto operand = [&](uint32_t lane) -> LoadOperand& { return *static_cast<LoadOperand*>(warp.operands[lane]); };
  for (uint32_t tile = 0; tile < kTiles; ++tile) {
    const auto row = [&](uint32_t index) { return operand(8 * tile + index).row; };
    for (uint32_t lane = 0; lane < kLanes; ++lane) {
      uint16_t elements[2];
      for (uint32_t i = 0; i < 2; ++i) {
        const uint32_t outer = lane / 4, inner = 2 * (lane % 4) + i;
        const unsigned char* const from = kTransposed ? row(inner) + 2 * outer : row(outer) + 2 * inner;
        std::memcpy(&elements[i], from, sizeof elements[i]);
      }
      std::memcpy(&operand(lane).tiles[tile], elements, sizeof elements);
    }
  }
}

template <int kTiles, bool kTransposed>
void load(uint32_t* tiles, const void* row, const void* code) {
  Thread& thread = begin_operation("ldmatrix", code);
  LoadOperand operand{tiles, nullptr};
  if (thread.lane < 8 * kTiles) {
    operand.row = checked_shared(row, kRowBytes, kRowBytes);
    check_access_of(thread.actor, thread, row, kRowBytes, kRead, code);
  }
  meet(kAllLanes, CollectiveKind::kLdmatrix, &operand, execute_load<kTiles, kTransposed>);
}

struct MultiplyOperand {
  float* d;
  const uint32_t *a, *b;
};

float low_half(uint32_t pair) { return std::bit_cast<float>(pair << 16); }
float high_half(uint32_t pair) { return std::bit_cast<float>(pair & 0xffff0000u); }

void execute_multiply(Warp& warp, uint32_t) {
  float a[16][16], b[16][8], sums[16][8] = {};
  for (uint32_t lane = 0; lane < kLanes; ++lane) {
    const auto& operand = *static_cast<const MultiplyOperand*>(warp.operands[lane]);
    const uint32_t group = lane / 4, pair = 2 * (lane % 4);
    for (uint32_t i = 0; i < 4; ++i) {
      float* const to = &a[group + 8 * (i % 2)][pair + 8 * (i / 2)];
      to[0] = low_half(operand.a[i]);
      to[1] = high_half(operand.a[i]);
    }
    for (uint32_t i = 0; i < 2; ++i) {
      b[pair + 8 * i][group] = low_half(operand.b[i]);
      b[pair + 8 * i + 1][group] = high_half(operand.b[i]);
    }
  }
  for (int i = 0; i < 16; ++i) {
    for (int k = 0; k < 16; ++k) {
      for (int j = 0; j < 8; ++j) sums[i][j] += a[i][k] * b[k][j];
    }
  }
  for (uint32_t lane = 0; lane < kLanes; ++lane) {
    float* const d = static_cast<const MultiplyOperand*>(warp.operands[lane])->d;
    const uint32_t group = lane / 4, pair = 2 * (lane % 4);
    for (uint32_t i = 0; i < 4; ++i) d[i] += sums[group + 8 * (i / 2)][pair + i % 2];
  }
}

}  // namespace

}  // namespace foretoken::simt

namespace foretoken::simt::ptx {

void ldmatrix_x4(uint32_t (&tiles)[4], const void* row) { load<4, false>(tiles, row, __builtin_return_address(0)); }
void ldmatrix_x4_transposed(uint32_t (&tiles)[4], const void* row) {
  load<4, true>(tiles, row, __builtin_return_address(0));
}
void ldmatrix_x2(uint32_t (&tiles)[2], const void* row) { load<2, false>(tiles, row, __builtin_return_address(0)); }

void mma_m16n8k16_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  MultiplyOperand operand{d, a, b};
  begin_operation("mma.sync", __builtin_return_address(0));
  meet(kAllLanes, CollectiveKind::kMma, &operand, execute_multiply);
}

}  // namespace foretoken::simt::ptx
