#include "csrc/core/stream.h"

#include <chrono>
#include <future>

#include "csrc/core/start_thread.h"
#include "csrc/core/thread_pool.h"

namespace foretoken {

namespace {

// JavaScript enqueues the kernels of a step about a microsecond apart, so spinning beats sleeping between them.
constexpr auto kSpin = std::chrono::microseconds(100);

}  // namespace

Stream::Stream() : thread_(start_thread([this] { work(); })) {}

void Stream::stop() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_one();
  thread_.join();
  queue_.clear();
}

void Stream::enqueue(Task task) {
  bool wake;
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(task));
    pending_.store(true, std::memory_order_release);
    wake = sleeping_;
  }
  if (wake) wake_.notify_one();
}

void Stream::wait() {
  if (stop_) return;
  std::promise<void> done;
  enqueue([&] { done.set_value(); });
  done.get_future().wait();
}

void Stream::work() {
  std::deque<Task> batch;
  while (wait_for_tasks(batch)) {
    for (Task& task : batch) {
      if (stop_.load(std::memory_order_relaxed)) return;
      task();
    }
    batch.clear();
  }
}

// Waits for tasks and moves them into `batch`. Returns false when the stream stops.
bool Stream::wait_for_tasks(std::deque<Task>& batch) {
  const auto give_up = std::chrono::steady_clock::now() + kSpin;
  const auto is_ready = [&] {
    return pending_.load(std::memory_order_acquire) || stop_.load(std::memory_order_relaxed);
  };
  while (!is_ready() && std::chrono::steady_clock::now() < give_up) {
    for (int i = 0; i < 20 && !is_ready(); ++i) spin_pause();
    // Lets JavaScript run, which may be waiting for this processor to enqueue the next task.
    std::this_thread::yield();
  }
  std::unique_lock lock(mutex_);
  sleeping_ = true;
  wake_.wait(lock, [&] { return !queue_.empty() || stop_; });
  sleeping_ = false;
  if (stop_) return false;
  batch.swap(queue_);
  pending_.store(false, std::memory_order_relaxed);
  return true;
}

}  // namespace foretoken
