// Runs the parts of one kernel on several threads. Parts are handed out one at a time, so a thread that the
// system has put aside delays nobody; which thread runs a part never changes a result.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace foretoken {

class ThreadPool {
 public:
  // The caller of run() is one of the `threads`.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls body(context, part, thread) for every part in 0 … parts-1 and returns when all have finished.
  // `thread` in 0 … threads()-1 tells apart what runs at the same time: an index for per-thread scratch.
  using Body = void (*)(void* context, int64_t part, int thread);
  void run(int64_t parts, Body body, void* context);

 private:
  struct Job;
  void work(int thread);
  static void take_parts(Job& job, int thread);

  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<uint64_t> generation_{0};
  Job* job_ = nullptr;       // guarded by mutex_
  std::atomic<bool> stop_{false};
};

// Processors that this process may use: affinity and cgroup quota, at least 1.
int available_processors();

}  // namespace foretoken
