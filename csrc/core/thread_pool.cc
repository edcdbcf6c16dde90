#include "csrc/core/thread_pool.h"

#include <chrono>

#include "csrc/core/start_thread.h"

namespace foretoken {

namespace {

constexpr uint64_t kUnclaimedMask = 0xffffffffu;

// The kernels of a step follow each other within microseconds, and waking a sleeping thread takes several.
constexpr auto kSpin = std::chrono::microseconds(200);

uint64_t generation_of(uint64_t ticket) { return ticket >> 32; }

}  // namespace

ThreadPool::ThreadPool(int threads) {
  try {
    for (int thread = 1; thread < threads; ++thread) workers_.push_back(start_thread([this, thread] { work(thread); }));
  } catch (...) {  // the system starts no more threads
    stop_workers();
    throw;
  }
}

ThreadPool::~ThreadPool() { stop_workers(); }

void ThreadPool::stop_workers() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::run(int64_t parts, Body body, void* context) {
  if (parts <= 1 || workers_.empty()) {
    for (int64_t part = 0; part < parts; ++part) body(context, part, 0);
    return;
  }
  body_.store(body, std::memory_order_relaxed);
  context_.store(context, std::memory_order_relaxed);
  parts_.store(parts, std::memory_order_relaxed);
  finished_.store(0, std::memory_order_relaxed);
  const uint64_t generation = generation_of(ticket_.load(std::memory_order_relaxed)) + 1;
  ticket_.store(generation << 32 | static_cast<uint64_t>(parts));
  if (sleepers_.load() > 0) {
    const std::lock_guard lock(mutex_);
    wake_.notify_all();
  }
  take_parts(generation, 0);
  for (int spins = 0; finished_.load(std::memory_order_acquire) < parts; ++spins) {
    if (spins < 1000) spin_pause();
    else std::this_thread::yield();
  }
}

void ThreadPool::take_parts(uint64_t generation, int thread) {
  uint64_t ticket = ticket_.load(std::memory_order_acquire);
  while (generation_of(ticket) == generation) {
    const auto unclaimed = static_cast<int64_t>(ticket & kUnclaimedMask);
    if (unclaimed == 0) return;
    if (!ticket_.compare_exchange_weak(ticket, ticket - 1, std::memory_order_acq_rel)) continue;
    const Body body = body_.load(std::memory_order_relaxed);
    body(context_.load(std::memory_order_relaxed), parts_.load(std::memory_order_relaxed) - unclaimed, thread);
    finished_.fetch_add(1, std::memory_order_release);
    ticket = ticket_.load(std::memory_order_acquire);
  }
}

void ThreadPool::work(int thread) {
  uint64_t seen = 0;
  while (!stop_.load(std::memory_order_relaxed)) {
    const uint64_t generation = generation_of(ticket_.load(std::memory_order_acquire));
    if (generation == seen) {
      wait_for_job(seen);
      continue;
    }
    seen = generation;
    take_parts(generation, thread);
  }
}

void ThreadPool::wait_for_job(uint64_t seen_generation) {
  const auto ready = [&] { return generation_of(ticket_.load()) != seen_generation || stop_.load(); };
  const auto give_up = std::chrono::steady_clock::now() + kSpin;
  while (std::chrono::steady_clock::now() < give_up) {
    for (int i = 0; i < 50; ++i) {
      if (ready()) return;
      spin_pause();
    }
    // Lets JavaScript run, which may need this processor for the results of a step.
    std::this_thread::yield();
  }
  std::unique_lock lock(mutex_);
  sleepers_.fetch_add(1);
  wake_.wait(lock, ready);
  sleepers_.fetch_sub(1);
}

}  // namespace foretoken
