// The emulated bodies of the wrappers in csrc/cuda/ptx/ptx_wgmma.cuh, under the same names.
#pragma once

#include <cstdint>

#include "csrc/simt/keywords.h"

namespace foretoken::simt {

// One product as a lane issues it.
struct WgmmaIssue {
  float* d;
  const uint32_t* a_registers;  // null: a is in shared memory
  uint64_t a, b;                // descriptions of operands
  int columns;
  bool accumulate, transpose_a, transpose_b;
};
void issue_wgmma(const WgmmaIssue& issue);

}  // namespace foretoken::simt

namespace foretoken::simt::ptx {

void wgmma_fence_registers();
void wgmma_commit();
void wgmma_wait_groups(uint32_t groups);

template <int kRegisters>
__forceinline__ void wgmma_fence(float (&)[kRegisters]) {
  wgmma_fence_registers();
}
template <int kGroups, int kRegisters>
__forceinline__ void wgmma_wait(float (&)[kRegisters]) {
  wgmma_wait_groups(kGroups);
}

// Do nothing, because the emulator has no limit of registers.
template <int kRegisters>
__forceinline__ void raise_registers() {}
template <int kRegisters>
__forceinline__ void lower_registers() {}

}  // namespace foretoken::simt::ptx
