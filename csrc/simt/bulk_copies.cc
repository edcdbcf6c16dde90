#include "csrc/simt/bulk_copies.h"

#include <cstring>

#include "csrc/simt/device_memory.h"
#include "csrc/simt/mbarrier.h"
#include "csrc/simt/memory_access.h"
#include "csrc/simt/poison.h"
#include "csrc/simt/ptx_checks.h"
#include "csrc/simt/ptx_hopper.h"
#include "csrc/simt/scheduler.h"

namespace foretoken::simt {

namespace {

constexpr uint32_t kPiece = 16;  // the bytes that bulk copies and swizzling move as a unit

// Whether an asynchronous operation shall take effect at once.
bool happens_now() {
  Launch& launch = *current_launch;
  if (launch.options.async_copies == AsyncCopies::kRandom) return launch.random.below(2) == 0;
  return launch.options.async_copies == AsyncCopies::kEarly;
}

// Gives the copy engine work: it knows what the issuing thread knows, and nothing of its own other work.
void instruct_engine(Thread& thread) {
  RaceChecker* const checker = current_launch->checker;
  if (!checker) return;
  thread.block->copy_engine.known = checker->clocks().of(thread.actor);
  thread.actor.advance();
}

void check_engine(Thread& thread, const void* address, size_t bytes, uint32_t kind) {
  check_access_of(thread.block->copy_engine, thread, address, bytes, kind | kAsync, thread.place.code);
}

void require(bool condition, const char* what) {
  if (!condition) fail(std::string(current_thread().place.operation) + ": " + what);
}

bool is_multiple(const void* address, uintptr_t of) { return reinterpret_cast<uintptr_t>(address) % of == 0; }

// Calls f(address in device memory, offset in the box, bytes) for the part of every row of a box that is in the tensor.
template <typename F>
void for_each_row(const TensorMap& map, int column, int row, F&& f) {
  const int64_t first = std::max<int64_t>(column, 0);
  const int64_t end = std::min<int64_t>(int64_t{column} + map.box_columns, static_cast<int64_t>(map.columns));
  if (first >= end) return;
  for (uint32_t i = 0; i < map.box_rows; ++i) {
    const int64_t from = int64_t{row} + i;
    if (from < 0 || from >= static_cast<int64_t>(map.rows)) continue;
    f(map.address + static_cast<uint64_t>(from) * map.row_bytes + static_cast<uint64_t>(first) * map.element_bytes,
      i * map.box_row_bytes() + static_cast<uint32_t>(first - column) * map.element_bytes,
      static_cast<uint32_t>(end - first) * map.element_bytes);
  }
}

// Calls f(device memory, shared memory, bytes) for the pieces of a row that swizzling keeps together.
template <typename F>
void for_each_piece(const TensorMap& map, SharedMemory& shared, uint32_t box, unsigned char* global, uint32_t offset,
                    uint32_t bytes, F&& f) {
  while (bytes > 0) {
    const uint32_t piece = std::min(bytes, kPiece - offset % kPiece);
    f(global, shared.at(swizzled(box + offset, map.swizzle_bytes)), piece);
    global += piece;
    offset += piece;
    bytes -= piece;
  }
}

const TensorMap& checked_map(const TensorMap* map) {
  require(map->mark == TensorMap::kMark, "the address holds no tensor map");
  return *map;
}

uint32_t checked_box(Thread& thread, const TensorMap& map, const void* address) {
  const uint32_t alignment = map.swizzle_bytes ? 8 * map.swizzle_bytes : 128;
  return thread.block->shared.offset(checked_shared(address, map.box_bytes(), alignment));
}

// Issues a copy into the shared memory of `blocks`, at `offset` of each; copy(block) copies the bytes.
template <typename Copy>
void issue_load(Thread& thread, const std::vector<Block*>& blocks, uint32_t offset, uint32_t bytes, uint64_t* barrier,
                Copy copy) {
  Actor& engine = thread.block->copy_engine;
  const uint32_t barrier_offset = thread.block->shared.offset(checked_shared(barrier, 8, 8));
  std::vector<size_t> barriers;  // of each block
  for (Block* block : blocks) {
    Mbarrier& there = mbarrier_at(*block, block->shared.at(barrier_offset));
    check_visible_to_engine(there);
    barriers.push_back(static_cast<size_t>(&there - block->mbarriers.data()));
    check_engine(thread, block->shared.at(offset), bytes, kWrite);
    poison(block->shared.at(offset), bytes);
  }
  const auto complete = [=, index = engine.index, time = engine.time] {
    for (size_t i = 0; i < blocks.size(); ++i) {
      copy(*blocks[i]);
      complete_bytes(*blocks[i], blocks[i]->mbarriers[barriers[i]], bytes, index, time);
    }
  };
  engine.advance();
  if (happens_now()) complete();
  else current_launch->bulk_loads.add(complete);
}

void load_tensor(void* to, const TensorMap* given, int column, int row, uint64_t* barrier,
                 const std::vector<Block*>& blocks) {
  Thread& thread = current_thread();
  const TensorMap& map = checked_map(given);
  const uint32_t box = checked_box(thread, map, to);
  instruct_engine(thread);
  for_each_row(map, column, row,
               [&](unsigned char* global, uint32_t, uint32_t bytes) { check_engine(thread, global, bytes, kRead); });
  const auto copy = [map, column, row, box](Block& block) {
    std::memset(block.shared.at(box), 0, map.box_bytes());
    for_each_row(map, column, row, [&](unsigned char* global, uint32_t offset, uint32_t bytes) {
      for_each_piece(
          map, block.shared, box, global, offset, bytes,
          [](unsigned char* from, unsigned char* piece, uint32_t count) { std::memcpy(piece, from, count); });
    });
  };
  issue_load(thread, blocks, box, map.box_bytes(), barrier, copy);
}

void issue_store(Thread& thread, std::function<void()> copy) {
  Actor& engine = thread.block->copy_engine;
  BulkStore store{thread.stores.groups, engine.time - 1, false, false, std::move(copy)};
  engine.advance();
  if (happens_now()) {
    store.copy();
    store.done = true;
  }
  thread.stores.pending.push_back(std::move(store));
}

template <typename T>
void add(unsigned char* to, const unsigned char* from, uint32_t bytes) {
  for (uint32_t i = 0; i < bytes; i += sizeof(T)) {
    T sum, term;
    std::memcpy(&sum, to + i, sizeof sum);
    std::memcpy(&term, from + i, sizeof term);
    sum += term;
    std::memcpy(to + i, &sum, sizeof sum);
  }
}

enum class Store { kOverwrite, kAdd };

void store_tensor(const TensorMap* given, int column, int row, const void* from, Store how) {
  Thread& thread = current_thread();
  const TensorMap& map = checked_map(given);
  require(how == Store::kOverwrite || map.is_float32, "only float32 sums are emulated");
  const uint32_t box = checked_box(thread, map, from);
  instruct_engine(thread);
  check_engine(thread, from, map.box_bytes(), kRead);
  thread.block->copy_engine.advance();
  for_each_row(map, column, row, [&](unsigned char* global, uint32_t, uint32_t bytes) {
    check_engine(thread, global, bytes, how == Store::kAdd ? kRead | kAtomic : kWrite);
    if (how == Store::kAdd) check_engine(thread, global, bytes, kWrite | kAtomic);
  });
  issue_store(thread, [map, column, row, box, how, block = thread.block] {
    for_each_row(map, column, row, [&](unsigned char* global, uint32_t offset, uint32_t bytes) {
      for_each_piece(map, block->shared, box, global, offset, bytes,
                     [how](unsigned char* to, const unsigned char* piece, uint32_t count) {
                       if (how == Store::kAdd) add<float>(to, piece, count);
                       else std::memcpy(to, piece, count);
                     });
    });
  });
}

}  // namespace

void BulkLoads::complete(size_t i) {
  const std::function<void()> load = std::move(pending_[i]);
  pending_.erase(pending_.begin() + static_cast<ptrdiff_t>(i));
  load();
}

std::string problem_of_stores(const Thread& thread) {
  for (const BulkStore& store : thread.stores.pending) {
    if (!store.read_is_awaited) return "the thread exits with bulk copies that may still read shared memory";
  }
  return "";
}

void finish_stores(Thread& thread) {
  for (BulkStore& store : thread.stores.pending) {
    if (!store.done) store.copy();
  }
  thread.stores.pending.clear();
}

}  // namespace foretoken::simt

namespace foretoken::simt::ptx {

void bulk_load(void* to, const void* from, uint32_t bytes, uint64_t* barrier) {
  Thread& thread = begin_operation("cp.async.bulk", __builtin_return_address(0));
  require(bytes % kPiece == 0 && is_multiple(from, kPiece), "the source and the bytes must be multiples of 16");
  const uint32_t offset = thread.block->shared.offset(checked_shared(to, bytes, kPiece));
  instruct_engine(thread);
  check_engine(thread, from, bytes, kRead);
  issue_load(thread, {thread.block}, offset, bytes, barrier,
             [=](Block& block) { std::memcpy(block.shared.at(offset), from, bytes); });
}

void tensor_load(void* to, const TensorMap* map, int column, int row, uint64_t* barrier) {
  Thread& thread = begin_operation("cp.async.bulk.tensor", __builtin_return_address(0));
  load_tensor(to, map, column, row, barrier, {thread.block});
}

void tensor_load_multicast(void* to, const TensorMap* map, int column, int row, uint64_t* barrier, uint16_t blocks) {
  Thread& thread = begin_operation("cp.async.bulk.tensor.multicast", __builtin_return_address(0));
  const auto& cluster = thread.block->cluster->blocks;
  std::vector<Block*> targets;
  for (size_t i = 0; i < 16; ++i) {
    if (!(blocks >> i & 1)) continue;
    require(i < cluster.size(), "the mask names blocks that are not in the cluster");
    targets.push_back(cluster[i]);
  }
  require(!targets.empty(), "the mask names no block");
  load_tensor(to, map, column, row, barrier, targets);
}

void tensor_prefetch(const TensorMap* map) {
  begin_operation("prefetch.tensormap", __builtin_return_address(0));
  checked_map(map);
}

void bulk_store(void* to, const void* from, uint32_t bytes) {
  Thread& thread = begin_operation("cp.async.bulk", __builtin_return_address(0));
  require(bytes % kPiece == 0 && is_multiple(to, kPiece), "the target and the bytes must be multiples of 16");
  const unsigned char* const source = checked_shared(from, bytes, kPiece);
  instruct_engine(thread);
  check_engine(thread, source, bytes, kRead);
  thread.block->copy_engine.advance();
  check_engine(thread, to, bytes, kWrite);
  issue_store(thread, [=] { std::memcpy(to, source, bytes); });
}

void tensor_store(const TensorMap* map, int column, int row, const void* from) {
  begin_operation("cp.async.bulk.tensor", __builtin_return_address(0));
  store_tensor(map, column, row, from, Store::kOverwrite);
}

void tensor_reduce_add(const TensorMap* map, int column, int row, const void* from) {
  begin_operation("cp.reduce.async.bulk.tensor", __builtin_return_address(0));
  store_tensor(map, column, row, from, Store::kAdd);
}

void bulk_commit() { ++current_thread().stores.groups; }

void bulk_wait_groups(uint32_t groups, bool only_read) {
  Thread& thread = begin_operation("cp.async.bulk.wait_group", __builtin_return_address(0));
  RaceChecker* const checker = current_launch->checker;
  auto& pending = thread.stores.pending;
  size_t kept = 0;
  for (BulkStore& store : pending) {
    const bool awaited = store.group + groups < thread.stores.groups;
    if (awaited) {
      if (!store.done) store.copy();
      store.done = true;
      store.read_is_awaited = true;
      if (checker) {
        const uint32_t time = only_read ? store.time : store.time + 1;
        thread.actor.known = checker->clocks().with(thread.actor.known, thread.block->copy_engine.index, time);
      }
    }
    if (awaited && !only_read) continue;
    if (&pending[kept] != &store) pending[kept] = std::move(store);
    ++kept;
  }
  pending.resize(kept);
}

}  // namespace foretoken::simt::ptx
