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

  // Calls body(context, part, thread) for every part in 0 … parts-1 and returns when all have finished; only one
  // run() at a time. `thread` in 0 … threads()-1 tells apart what runs at once: an index for per-thread scratch.
  using Body = void (*)(void* context, int64_t part, int thread);
  void run(int64_t parts, Body body, void* context);

 private:
  void work(int thread);
  void take_parts(uint64_t generation, int thread);
  void wait_for_job(uint64_t seen_generation);
  void stop_workers();

  // The current job. `ticket_` is the job's generation in the upper and the number of unclaimed parts in the lower
  // half: a part is claimed by a compare-and-swap that lowers it, which fails when the job has changed meanwhile. The
  // other fields are read by whoever has claimed a part; until that is finished, they stay.
  std::atomic<uint64_t> ticket_{0};
  std::atomic<Body> body_{nullptr};
  std::atomic<void*> context_{nullptr};
  std::atomic<int64_t> parts_{0};
  std::atomic<int64_t> finished_{0};

  std::atomic<bool> stop_{false};
  std::atomic<int> sleepers_{0};
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::thread> workers_;
};

// Processors that this process may use: affinity and cgroup quota, at least 1.
int available_processors();

// Tells the processor that this is a waiting loop.
inline void spin_pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  std::this_thread::yield();
#endif
}

}  // namespace foretoken
