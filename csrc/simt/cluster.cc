#include "csrc/simt/cluster.h"

#include "csrc/simt/ptx_checks.h"
#include "csrc/simt/ptx_hopper.h"
#include "csrc/simt/scheduler.h"

namespace foretoken::simt {

namespace {

void end_phase_if_complete(Cluster& cluster) {
  uint32_t live = 0;
  for (const Block* block : cluster.blocks) live += block->live;
  if (cluster.arrived == 0 || cluster.arrived < live) return;
  cluster.arrived = 0;
  ++cluster.phase;
  cluster.released = cluster.arrivals.take();
  for (Thread* thread : cluster.waiting) make_ready(*thread->warp, 1u << thread->lane);
  cluster.waiting.clear();
}

void arrive(const void* code) {
  Thread& thread = begin_operation("barrier.cluster.arrive", code);
  Cluster& cluster = *thread.block->cluster;
  if (thread.has_arrived) fail("barrier.cluster.arrive: the thread has arrived already and not waited since");
  thread.has_arrived = true;
  thread.cluster_phase = cluster.phase;
  ++cluster.arrived;
  if (RaceChecker* const checker = current_launch->checker) cluster.arrivals.add(checker->clocks(), thread.actor);
  end_phase_if_complete(cluster);
  maybe_switch();
}

void wait(const void* code) {
  Thread& thread = begin_operation("barrier.cluster.wait", code);
  Cluster& cluster = *thread.block->cluster;
  if (!thread.has_arrived) fail("barrier.cluster.wait: the thread has not arrived");
  if (thread.cluster_phase == cluster.phase) {
    cluster.waiting.push_back(&thread);
    wait_until_ready();
  }
  thread.has_arrived = false;
  if (RaceChecker* const checker = current_launch->checker) {
    thread.actor.known = checker->clocks().joined(thread.actor.known, cluster.released);
  }
}

}  // namespace

void leave_cluster(Thread& thread) {
  Cluster& cluster = *thread.block->cluster;
  if (thread.has_arrived && thread.cluster_phase == cluster.phase) --cluster.arrived;
  end_phase_if_complete(cluster);
}

}  // namespace foretoken::simt

namespace foretoken::simt::ptx {

uint32_t cluster_rank() { return current_thread().block->cluster_rank; }
uint32_t cluster_blocks() { return static_cast<uint32_t>(current_thread().block->cluster->blocks.size()); }

void cluster_arrive() { arrive(__builtin_return_address(0)); }
void cluster_wait() { wait(__builtin_return_address(0)); }
void cluster_sync() {
  arrive(__builtin_return_address(0));
  wait(__builtin_return_address(0));
}

void* address_in_block(void* pointer, uint32_t rank) {
  Thread& thread = current_thread();
  const Cluster& cluster = *thread.block->cluster;
  if (rank >= cluster.blocks.size()) {
    fail("mapa: there is no block " + std::to_string(rank) + " in a cluster of " +
         std::to_string(cluster.blocks.size()));
  }
  SharedMemory& shared = thread.block->shared;
  if (!shared.holds(pointer)) fail("mapa: the address is not in the block's shared memory");
  return cluster.blocks[rank]->shared.at(shared.offset(pointer));
}

}  // namespace foretoken::simt::ptx
