// Inline PTX of compute capability 9.0: barriers in shared memory that count bytes (mbarrier), copies by the copy
// engine (bulk copies, also of tensor tiles), clusters of blocks. Kernels that use these wrappers compile for every
// architecture; on earlier ones each wrapper is a trap.
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

// --- mbarrier: a phase ends when the given number of threads and all announced bytes have arrived ---

// Called by one thread, followed by fence_mbarrier_init() and a barrier before other threads use it.
FORETOKEN_DEVICE void mbarrier_init(uint64_t* barrier, uint32_t arrivals) {
  FORETOKEN_PTX_90("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(arrivals) : "memory");
}

// Required before the barrier's memory is used for something else.
FORETOKEN_DEVICE void mbarrier_invalidate(uint64_t* barrier) {
  FORETOKEN_PTX_90("mbarrier.inval.shared::cta.b64 [%0];" ::"r"(shared_address(barrier)) : "memory");
}

// Makes initialised barriers visible to the copy engine and to the cluster.
FORETOKEN_DEVICE void fence_mbarrier_init() { FORETOKEN_PTX_90("fence.mbarrier_init.release.cluster;" ::: "memory"); }

FORETOKEN_DEVICE void mbarrier_arrive(uint64_t* barrier) {
  FORETOKEN_PTX_90("{ .reg .b64 state; mbarrier.arrive.shared::cta.b64 state, [%0]; }" ::"r"(shared_address(barrier))
                   : "memory");
}

// Announces the bytes of copies that will complete in this phase, and arrives.
FORETOKEN_DEVICE void mbarrier_arrive_expect(uint64_t* barrier, uint32_t bytes) {
  FORETOKEN_PTX_90(
      "{ .reg .b64 state; mbarrier.arrive.expect_tx.shared::cta.b64 state, [%0], %1; }" ::"r"(shared_address(barrier)),
      "r"(bytes)
      : "memory");
}

// Announces bytes without arriving.
FORETOKEN_DEVICE void mbarrier_expect(uint64_t* barrier, uint32_t bytes) {
  FORETOKEN_PTX_90("mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(bytes)
                   : "memory");
}

// Arrives at the barrier at the same place in the shared memory of block `block` of the cluster.
FORETOKEN_DEVICE void mbarrier_arrive_at(uint64_t* barrier, uint32_t block) {
  FORETOKEN_PTX_90(
      "{ .reg .b32 remote;\n"
      "mapa.shared::cluster.u32 remote, %0, %1;\n"
      "mbarrier.arrive.shared::cluster.b64 _, [remote]; }" ::"r"(shared_address(barrier)),
      "r"(block)
      : "memory");
}

// Waits for the end of the phase with this parity: 0 for the first phase, 1 for the second, and so on alternately. On a
// new barrier, the wait for parity 1 returns at once.
FORETOKEN_DEVICE void mbarrier_wait(uint64_t* barrier, uint32_t parity) {
  FORETOKEN_PTX_90(
      "{ .reg .pred over;\n"
      "again:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 over, [%0], %1;\n"
      "@!over bra again; }" ::"r"(shared_address(barrier)),
      "r"(parity)
      : "memory");
}

// The same if threads of other blocks of the cluster arrive: makes their accesses visible.
FORETOKEN_DEVICE void mbarrier_wait_cluster(uint64_t* barrier, uint32_t parity) {
  FORETOKEN_PTX_90(
      "{ .reg .pred over;\n"
      "again:\n"
      "mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 over, [%0], %1;\n"
      "@!over bra again; }" ::"r"(shared_address(barrier)),
      "r"(parity)
      : "memory");
}

// --- The asynchronous proxy, through which copy engines and tensor cores access memory ---

// Makes accesses to shared memory by this thread, and those that it has already observed, visible to copy engines and
// tensor cores.
FORETOKEN_DEVICE void fence_proxy_async() { FORETOKEN_PTX_90("fence.proxy.async.shared::cta;" ::: "memory"); }

// --- Copies into shared memory; each reports its bytes to a barrier ---

// Copies `bytes` bytes; the number and both addresses are multiples of 16.
FORETOKEN_DEVICE void bulk_load(void* to, const void* from, uint32_t bytes, uint64_t* barrier) {
  FORETOKEN_PTX_90("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
                       shared_address(to)),
                   "l"(from), "r"(bytes), "r"(shared_address(barrier))
                   : "memory");
}

// Copies the box of the map that begins at this column and row, with zeros outside the tensor. The barrier counts the
// bytes of the whole box.
FORETOKEN_DEVICE void tensor_load(void* to, const TensorMap* map, int column, int row, uint64_t* barrier) {
  FORETOKEN_PTX_90(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];" ::"r"(
          shared_address(to)),
      "l"(map), "r"(column), "r"(row), "r"(shared_address(barrier))
      : "memory");
}

// The same to every block of the cluster whose bit is set in `blocks`: to the same place in each, reported to the
// barrier at the same place in each.
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

// --- Copies from shared memory, in groups for which the thread waits ---

FORETOKEN_DEVICE void bulk_store(void* to, const void* from, uint32_t bytes) {
  FORETOKEN_PTX_90("cp.async.bulk.global.shared::cta.bulk_group [%0], [%1], %2;" ::"l"(to), "r"(shared_address(from)),
                   "r"(bytes)
                   : "memory");
}

// Writes the elements of a box that lie inside the tensor.
FORETOKEN_DEVICE void tensor_store(const TensorMap* map, int column, int row, const void* from) {
  FORETOKEN_PTX_90("cp.async.bulk.tensor.2d.global.shared::cta.bulk_group [%0, {%1, %2}], [%3];" ::"l"(map),
                   "r"(column), "r"(row), "r"(shared_address(from))
                   : "memory");
}

// Adds a box to the tensor, element by element.
FORETOKEN_DEVICE void tensor_reduce_add(const TensorMap* map, int column, int row, const void* from) {
  FORETOKEN_PTX_90("cp.reduce.async.bulk.tensor.2d.global.shared::cta.add.bulk_group [%0, {%1, %2}], [%3];" ::"l"(map),
                   "r"(column), "r"(row), "r"(shared_address(from))
                   : "memory");
}

FORETOKEN_DEVICE void bulk_commit() { FORETOKEN_PTX_90("cp.async.bulk.commit_group;" ::: "memory"); }

// Waits until all but the newest kGroups of this thread's groups have read their shared memory, which may then be
// reused.
template <int kGroups>
FORETOKEN_DEVICE void bulk_wait_read() {
  FORETOKEN_PTX_90("cp.async.bulk.wait_group.read %0;" ::"n"(kGroups) : "memory");
}

// Waits until all but the newest kGroups of this thread's groups have also written.
template <int kGroups>
FORETOKEN_DEVICE void bulk_wait() {
  FORETOKEN_PTX_90("cp.async.bulk.wait_group %0;" ::"n"(kGroups) : "memory");
}

// --- Clusters ---

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

// All threads of the cluster must arrive, and then wait.
FORETOKEN_DEVICE void cluster_arrive() { FORETOKEN_PTX_90("barrier.cluster.arrive.aligned;" ::: "memory"); }
FORETOKEN_DEVICE void cluster_wait() { FORETOKEN_PTX_90("barrier.cluster.wait.aligned;" ::: "memory"); }
FORETOKEN_DEVICE void cluster_sync() {
  cluster_arrive();
  cluster_wait();
}

// The address in the shared memory of block `block` that corresponds to `pointer` in this block's.
template <typename T>
FORETOKEN_DEVICE T* in_block(T* pointer, uint32_t block) {
  uint64_t address = 0;
  FORETOKEN_PTX_90("mapa.u64 %0, %1, %2;" : "=l"(address) : "l"(pointer), "r"(block));
  return reinterpret_cast<T*>(address);
}

// --- Others ---

// True in one lane of the warp. All lanes must call it.
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

// The first waits until the writes of the stream's previous kernel are visible; the second lets the next kernel start.
// Both have an effect only in kernels launched to overlap (programmatic dependent launch).
FORETOKEN_DEVICE void grid_dependency_wait() { FORETOKEN_PTX_90("griddepcontrol.wait;" ::: "memory"); }
FORETOKEN_DEVICE void grid_dependency_launch() { FORETOKEN_PTX_90("griddepcontrol.launch_dependents;" ::: "memory"); }

#undef FORETOKEN_PTX_90

#endif

}  // namespace foretoken::cuda::ptx
