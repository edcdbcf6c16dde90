// Inline PTX of compute capability 9.0: barriers in shared memory that count bytes (mbarrier), copies by the copy
// engine (bulk copies, of tensor tiles too), clusters of blocks. Kernels that use it compile for every architecture,
// but can only run where it is there: elsewhere each wrapper is a trap.
#pragma once

#include "csrc/cuda/linear/tensor_map.h"
#include "csrc/cuda/ptx/ptx.cuh"

#ifdef FORETOKEN_EMULATED
#include "csrc/simt/ptx_hopper.h"
#endif

namespace foretoken::cuda::ptx {

#ifdef FORETOKEN_EMULATED
using namespace foretoken::simt::ptx;
#else

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
#define FORETOKEN_PTX_90(...) __trap()
#else
#define FORETOKEN_PTX_90(...) asm volatile(__VA_ARGS__)
#endif

// --- mbarrier: a phase ends when so many threads have arrived and the bytes that were announced have come ---

// By one thread; then fence_mbarrier_init(), and a barrier before others use it.
FORETOKEN_DEVICE void mbarrier_init(uint64_t* barrier, uint32_t arrivals) {
  FORETOKEN_PTX_90("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(arrivals) : "memory");
}

// Before its memory is used for something else.
FORETOKEN_DEVICE void mbarrier_invalidate(uint64_t* barrier) {
  FORETOKEN_PTX_90("mbarrier.inval.shared::cta.b64 [%0];" ::"r"(shared_address(barrier)) : "memory");
}

// Makes initialised barriers visible to the copy engine and to the cluster.
FORETOKEN_DEVICE void fence_mbarrier_init() { FORETOKEN_PTX_90("fence.mbarrier_init.release.cluster;" ::: "memory"); }

FORETOKEN_DEVICE void mbarrier_arrive(uint64_t* barrier) {
  FORETOKEN_PTX_90("{ .reg .b64 state; mbarrier.arrive.shared::cta.b64 state, [%0]; }" ::"r"(shared_address(barrier))
                   : "memory");
}

// Announces bytes that copies will bring in this phase, and arrives.
FORETOKEN_DEVICE void mbarrier_arrive_expect(uint64_t* barrier, uint32_t bytes) {
  FORETOKEN_PTX_90(
      "{ .reg .b64 state; mbarrier.arrive.expect_tx.shared::cta.b64 state, [%0], %1; }" ::"r"(shared_address(barrier)),
      "r"(bytes)
      : "memory");
}

// Announces them only.
FORETOKEN_DEVICE void mbarrier_expect(uint64_t* barrier, uint32_t bytes) {
  FORETOKEN_PTX_90("mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(bytes)
                   : "memory");
}

// Arrives at the barrier of that block of the cluster which lies where this block's lies.
FORETOKEN_DEVICE void mbarrier_arrive_at(uint64_t* barrier, uint32_t block) {
  FORETOKEN_PTX_90(
      "{ .reg .b32 remote;\n"
      "mapa.shared::cluster.u32 remote, %0, %1;\n"
      "mbarrier.arrive.shared::cluster.b64 _, [remote]; }" ::"r"(shared_address(barrier)),
      "r"(block)
      : "memory");
}

// Waits for the end of the phase of this parity: 0 for the first, 1 for the second, and so on in turn. Parity 1 is over
// from the start.
FORETOKEN_DEVICE void mbarrier_wait(uint64_t* barrier, uint32_t parity) {
  FORETOKEN_PTX_90(
      "{ .reg .pred over;\n"
      "again:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 over, [%0], %1;\n"
      "@!over bra again; }" ::"r"(shared_address(barrier)),
      "r"(parity)
      : "memory");
}

// The same where threads of other blocks of the cluster arrive, whose accesses shall be seen.
FORETOKEN_DEVICE void mbarrier_wait_cluster(uint64_t* barrier, uint32_t parity) {
  FORETOKEN_PTX_90(
      "{ .reg .pred over;\n"
      "again:\n"
      "mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 over, [%0], %1;\n"
      "@!over bra again; }" ::"r"(shared_address(barrier)),
      "r"(parity)
      : "memory");
}

// --- the asynchronous proxy: what copy engines and tensor cores read and write ---

// Makes this thread's accesses to shared memory, and those it knows of, visible to copy engines and tensor cores.
FORETOKEN_DEVICE void fence_proxy_async() { FORETOKEN_PTX_90("fence.proxy.async.shared::cta;" ::: "memory"); }

// --- copies into shared memory; each brings its bytes to a barrier ---

// `bytes`, a multiple of 16, from and to multiples of 16.
FORETOKEN_DEVICE void bulk_load(void* to, const void* from, uint32_t bytes, uint64_t* barrier) {
  FORETOKEN_PTX_90("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
                       shared_address(to)),
                   "l"(from), "r"(bytes), "r"(shared_address(barrier))
                   : "memory");
}

// The box of the map whose first element is in that column and row; zeros where that is outside the tensor. The whole
// box counts as bytes.
FORETOKEN_DEVICE void tensor_load(void* to, const TensorMap* map, int column, int row, uint64_t* barrier) {
  FORETOKEN_PTX_90(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];" ::"r"(
          shared_address(to)),
      "l"(map), "r"(column), "r"(row), "r"(shared_address(barrier))
      : "memory");
}

// The same to all blocks of the cluster whose bit is set in `blocks`, each at the same place and with its barrier
// there.
FORETOKEN_DEVICE void tensor_load_multicast(void* to, const TensorMap* map, int column, int row, uint64_t* barrier,
                                            uint16_t blocks) {
  FORETOKEN_PTX_90(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster"
      " [%0], [%1, {%2, %3}], [%4], %5;" ::"r"(shared_address(to)),
      "l"(map), "r"(column), "r"(row), "r"(shared_address(barrier)), "h"(blocks)
      : "memory");
}

FORETOKEN_DEVICE void tensor_prefetch(const TensorMap* map) {
  FORETOKEN_PTX_90("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}

// --- copies from shared memory, in groups that the thread waits for ---

FORETOKEN_DEVICE void bulk_store(void* to, const void* from, uint32_t bytes) {
  FORETOKEN_PTX_90("cp.async.bulk.global.shared::cta.bulk_group [%0], [%1], %2;" ::"l"(to), "r"(shared_address(from)),
                   "r"(bytes)
                   : "memory");
}

// What is outside the tensor is not written.
FORETOKEN_DEVICE void tensor_store(const TensorMap* map, int column, int row, const void* from) {
  FORETOKEN_PTX_90("cp.async.bulk.tensor.2d.global.shared::cta.bulk_group [%0, {%1, %2}], [%3];" ::"l"(map),
                   "r"(column), "r"(row), "r"(shared_address(from))
                   : "memory");
}

// Adds to what is there, element by element.
FORETOKEN_DEVICE void tensor_reduce_add(const TensorMap* map, int column, int row, const void* from) {
  FORETOKEN_PTX_90("cp.reduce.async.bulk.tensor.2d.global.shared::cta.add.bulk_group [%0, {%1, %2}], [%3];" ::"l"(map),
                   "r"(column), "r"(row), "r"(shared_address(from))
                   : "memory");
}

FORETOKEN_DEVICE void bulk_commit() { FORETOKEN_PTX_90("cp.async.bulk.commit_group;" ::: "memory"); }

// Until all but the newest kGroups of this thread's groups have read their shared memory, which may then be used again.
template <int kGroups>
FORETOKEN_DEVICE void bulk_wait_read() {
  FORETOKEN_PTX_90("cp.async.bulk.wait_group.read %0;" ::"n"(kGroups) : "memory");
}

// Until they have also written.
template <int kGroups>
FORETOKEN_DEVICE void bulk_wait() {
  FORETOKEN_PTX_90("cp.async.bulk.wait_group %0;" ::"n"(kGroups) : "memory");
}

// --- clusters ---

// This block's number in its cluster.
FORETOKEN_DEVICE uint32_t cluster_rank() {
  uint32_t rank = 0;
  FORETOKEN_PTX_90("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}

FORETOKEN_DEVICE uint32_t cluster_blocks() {
  uint32_t blocks = 0;
  FORETOKEN_PTX_90("mov.u32 %0, %%cluster_nctarank;" : "=r"(blocks));
  return blocks;
}

// All threads of the cluster arrive, and then all wait.
FORETOKEN_DEVICE void cluster_arrive() { FORETOKEN_PTX_90("barrier.cluster.arrive.aligned;" ::: "memory"); }
FORETOKEN_DEVICE void cluster_wait() { FORETOKEN_PTX_90("barrier.cluster.wait.aligned;" ::: "memory"); }
FORETOKEN_DEVICE void cluster_sync() {
  cluster_arrive();
  cluster_wait();
}

// What lies in that block's shared memory where `pointer` points to in this block's.
template <typename T>
FORETOKEN_DEVICE T* in_block(T* pointer, uint32_t block) {
  uint64_t address = 0;
  FORETOKEN_PTX_90("mapa.u64 %0, %1, %2;" : "=l"(address) : "l"(pointer), "r"(block));
  return reinterpret_cast<T*>(address);
}

// --- the rest ---

// True in one lane of a warp all of whose lanes are here.
FORETOKEN_DEVICE bool elect_one() {
  uint32_t elected = 0;
  FORETOKEN_PTX_90(
      "{ .reg .pred one;\n"
      "elect.sync _|one, 0xffffffff;\n"
      "selp.u32 %0, 1, 0, one; }"
      : "=r"(elected)
      :
      : "memory");
  return elected != 0;
}

// Until what the kernel before in the stream wrote can be seen, and: the next may begin. Both mean something only to
// kernels launched to overlap (programmatic dependent launch).
FORETOKEN_DEVICE void grid_dependency_wait() { FORETOKEN_PTX_90("griddepcontrol.wait;" ::: "memory"); }
FORETOKEN_DEVICE void grid_dependency_launch() { FORETOKEN_PTX_90("griddepcontrol.launch_dependents;" ::: "memory"); }

#undef FORETOKEN_PTX_90

#endif

}  // namespace foretoken::cuda::ptx
