#include "csrc/simt/kernel_runner.h"

#include <algorithm>
#include <memory>
#include <mutex>
#include <numeric>
#include <optional>

#include "csrc/simt/report.h"
#include "csrc/simt/scheduler.h"
#include "csrc/simt/segmentation_faults.h"

namespace foretoken::simt {

namespace {

uint64_t product(const dim3& size) { return uint64_t{size.x} * size.y * size.z; }

// Returns the coordinates of element `number` of a grid of `size`, counted along x, then y, then z.
uint3 place_of(uint64_t number, const dim3& size) {
  return {static_cast<unsigned>(number % size.x), static_cast<unsigned>(number / size.x % size.y),
          static_cast<unsigned>(number / size.x / size.y)};
}

// Keeps stacks, and blocks with their shared memory, from launch to launch.
struct Machine {
  std::mutex mutex;
  StackPool stacks;
  std::vector<std::unique_ptr<Block>> blocks;
};

Machine& machine() {
  static auto* const the_machine = new Machine;  // streams may still run when statics are destroyed
  return *the_machine;
}

// Runs a launch, as many clusters at a time as may be resident.
class KernelRun {
 public:
  KernelRun(Machine& machine, const LaunchShape& shape, const KernelCall& call, const Options& options);
  ~KernelRun();
  std::string run();

 private:
  void order_clusters();
  void begin_wave(uint64_t first, uint64_t end);
  void begin_block(Block& block, const uint3& index);
  void begin_threads(Block& block);
  std::string problem_of_wave() const;

  Machine& machine_;
  const LaunchShape shape_;
  const dim3 clusters_;  // of the grid
  const uint64_t cluster_count_, cluster_blocks_;
  const uint64_t at_once_;  // clusters that run at a time
  std::optional<RaceChecker> checker_;
  std::optional<AtomicOrder> atomic_order_;
  Launch launch_;
  std::vector<uint64_t> order_;  // of clusters
};

KernelRun::KernelRun(Machine& machine, const LaunchShape& shape, const KernelCall& call, const Options& options)
    : machine_(machine),
      shape_(shape),
      clusters_(shape.grid.x / shape.cluster.x, shape.grid.y / shape.cluster.y, shape.grid.z / shape.cluster.z),
      cluster_count_(product(clusters_)),
      cluster_blocks_(product(shape.cluster)),
      at_once_(std::min(cluster_count_,
                        std::max<uint64_t>(1, static_cast<uint64_t>(options.resident_blocks) / cluster_blocks_))) {
  launch_.options = options;
  launch_.random = Random(options.seed);
  launch_.grid = shape.grid;
  launch_.block = shape.block;
  launch_.call = &call;
  const uint64_t blocks = at_once_ * cluster_blocks_;
  machine.stacks.reserve(blocks * product(shape.block));
  while (machine.blocks.size() < blocks) machine.blocks.push_back(std::make_unique<Block>(machine.blocks.size()));
  if (options.races) {
    checker_.emplace(shape.block, static_cast<uint32_t>(blocks));
    atomic_order_.emplace(checker_->clocks());
    launch_.checker = &*checker_;
    launch_.hears_accesses = true;
    launch_.atomic_order = &*atomic_order_;
  }
  order_clusters();
  current_launch = &launch_;
}

KernelRun::~KernelRun() {
  current_launch = nullptr;
  for (const auto& block : machine_.blocks) block->clear();
}

void KernelRun::order_clusters() {
  order_.resize(cluster_count_);
  std::iota(order_.begin(), order_.end(), 0);
  if (launch_.options.schedule == Schedule::kReverse) {
    std::reverse(order_.begin(), order_.end());
  } else if (launch_.options.schedule != Schedule::kInOrder) {
    for (uint64_t i = cluster_count_; i > 1; --i) std::swap(order_[i - 1], order_[launch_.random.next() % i]);
  }
}

std::string KernelRun::run() {
  for (uint64_t first = 0; first < cluster_count_ && launch_.failure.empty(); first += at_once_) {
    begin_wave(first, std::min(first + at_once_, cluster_count_));
    run_threads(launch_);
    if (launch_.failure.empty()) launch_.failure = problem_of_wave();
  }
  return launch_.failure;
}

// Begins the clusters order_[first … end - 1].
void KernelRun::begin_wave(uint64_t first, uint64_t end) {
  launch_.blocks.clear();
  launch_.warps.clear();
  launch_.bulk_loads.clear();
  launch_.clusters = std::vector<Cluster>(end - first);
  std::vector<uint3> indices;
  for (uint64_t i = first; i < end; ++i) {
    const uint3 at = place_of(order_[i], clusters_);
    for (uint64_t rank = 0; rank < cluster_blocks_; ++rank) {
      const uint3 in = place_of(rank, shape_.cluster);
      indices.push_back(
          {at.x * shape_.cluster.x + in.x, at.y * shape_.cluster.y + in.y, at.z * shape_.cluster.z + in.z});
    }
  }
  if (checker_) {
    checker_->begin_wave(indices);
    atomic_order_->begin_wave();
  }
  for (size_t i = 0; i < indices.size(); ++i) {
    Block& block = *machine_.blocks[i];
    block.cluster = &launch_.clusters[i / cluster_blocks_];
    block.cluster_rank = static_cast<uint32_t>(i % cluster_blocks_);
    block.cluster->blocks.push_back(&block);
    launch_.blocks.push_back(&block);
    begin_block(block, indices[i]);
  }
  launch_.ready_warps.assign((launch_.warps.size() + 63) / 64, 0);
}

void KernelRun::begin_block(Block& block, const uint3& index) {
  block.clear();
  block.index = index;
  block.shared.reset(shape_.dynamic_shared_bytes);
  begin_threads(block);
  if (checker_) {
    const auto place = static_cast<uint32_t>(block.place);
    for (Thread& thread : block.threads) checker_->begin(thread.actor, checker_->thread_actor(place, thread.rank));
    for (uint32_t i = 0; i < block.warps.size(); ++i) {
      checker_->begin(block.warps[i].tensor_core, checker_->tensor_core(place, i));
    }
    checker_->begin(block.copy_engine, checker_->copy_engine(place));
    block.copy_engine.in_order = false;
  }
  for (Warp& warp : block.warps) {
    warp.block = &block;
    warp.rank = static_cast<uint32_t>(launch_.warps.size());
    warp.priority = static_cast<uint32_t>(launch_.random.next() >> 32);
    launch_.warps.push_back(&warp);
  }
}

void KernelRun::begin_threads(Block& block) {
  const auto threads = static_cast<uint32_t>(product(shape_.block));
  block.live = threads;
  block.threads.resize(threads);
  block.warps.resize((threads + kLanes - 1) / kLanes);
  block.warpgroups.resize((block.warps.size() + 3) / 4);
  for (uint32_t i = 0; i < threads; ++i) {
    Thread& thread = block.threads[i];
    Warp& warp = block.warps[i / kLanes];
    thread.stack = machine_.stacks.stack(block.place * threads + i);
    thread.index = place_of(i, shape_.block);
    thread.rank = i;
    thread.lane = i % kLanes;
    thread.warp = &warp;
    thread.block = &block;
    warp.threads[thread.lane] = &thread;
    warp.lanes |= 1u << thread.lane;
  }
}

// Returns the problem with what blocks left behind when they ended; empty if there is none.
std::string KernelRun::problem_of_wave() const {
  if (!launch_.bulk_loads.empty()) {
    return describe_failure(
        launch_, "all threads have exited, but asynchronous copies that none of them waited for are in progress");
  }
  for (const Block* block : launch_.blocks) {
    for (const std::string& problem :
         {problem_of_mbarriers(*block), problem_of_products(*block), problem_of_barriers(*block)}) {
      if (!problem.empty())
        return describe_failure(launch_, problem + "\n  at the end of block " + triple(block->index));
    }
  }
  return "";
}

}  // namespace

std::string run_kernel(const LaunchShape& shape, const KernelCall& call, const Options& options) {
  Machine& kept = machine();
  const std::lock_guard lock(kept.mutex);
  catch_segmentation_faults();
  return KernelRun(kept, shape, call, options).run();
}

}  // namespace foretoken::simt
