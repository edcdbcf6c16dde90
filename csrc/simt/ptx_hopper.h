// The emulated bodies of the wrappers in csrc/cuda/ptx/ptx_hopper.cuh, under the same names.
#pragma once

#include <cstdint>

#include "csrc/simt/keywords.h"
#include "csrc/simt/tensor_map.h"

namespace foretoken::simt::ptx {

// --- mbarrier ---

void mbarrier_init(uint64_t* barrier, uint32_t arrivals);
void mbarrier_invalidate(uint64_t* barrier);
void fence_mbarrier_init();
void mbarrier_arrive(uint64_t* barrier);
void mbarrier_arrive_expect(uint64_t* barrier, uint32_t bytes);
void mbarrier_expect(uint64_t* barrier, uint32_t bytes);
void mbarrier_arrive_at(uint64_t* barrier, uint32_t block);
void mbarrier_wait(uint64_t* barrier, uint32_t parity);
void mbarrier_wait_cluster(uint64_t* barrier, uint32_t parity);

// --- the asynchronous proxy ---

void fence_proxy_async();

// --- copies by the copy engine ---

void bulk_load(void* to, const void* from, uint32_t bytes, uint64_t* barrier);
void tensor_load(void* to, const TensorMap* map, int column, int row, uint64_t* barrier);
void tensor_load_multicast(void* to, const TensorMap* map, int column, int row, uint64_t* barrier, uint16_t blocks);
void tensor_prefetch(const TensorMap* map);

void bulk_store(void* to, const void* from, uint32_t bytes);
void tensor_store(const TensorMap* map, int column, int row, const void* from);
void tensor_reduce_add(const TensorMap* map, int column, int row, const void* from);
void bulk_commit();
void bulk_wait_groups(uint32_t groups, bool only_read);
template <int kGroups>
__forceinline__ void bulk_wait_read() {
  bulk_wait_groups(kGroups, true);
}
template <int kGroups>
__forceinline__ void bulk_wait() {
  bulk_wait_groups(kGroups, false);
}

// --- clusters ---

uint32_t cluster_rank();
uint32_t cluster_blocks();
void cluster_arrive();
void cluster_wait();
void cluster_sync();
void* address_in_block(void* pointer, uint32_t block);
template <typename T>
__forceinline__ T* in_block(T* pointer, uint32_t block) {
  return static_cast<T*>(address_in_block(const_cast<void*>(static_cast<const void*>(pointer)), block));
}

// --- the rest ---

bool elect_one();
// Kernels of a stream never overlap here.
__forceinline__ void grid_dependency_wait() {}
__forceinline__ void grid_dependency_launch() {}

}  // namespace foretoken::simt::ptx
