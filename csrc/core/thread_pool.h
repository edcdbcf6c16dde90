// Runs the parts of one kernel on several threads. Each thread claims one part at a time, so a thread that the system
// has descheduled delays no other; which thread runs a part never changes a result.
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
  // Starts `threads` - 1 workers; the caller of run() is the remaining thread.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls body(context, part, thread) for every part in 0 … parts - 1 and returns when all have finished. Only one
  // run() at a time. `thread`, in 0 … threads() - 1, differs between calls that run at once: an index into per-thread
  // scratch.
  using Body = void (*)(void* context, int64_t part, int thread);
  void run(int64_t parts, Body body, void* context);

 private:
  void work(int thread);
  void take_parts(uint64_t generation, int thread);
  void wait_for_job(uint64_t seen_generation);
  void stop_workers();

  // The current job. `ticket_` holds the job's generation in its upper half and the number of unclaimed parts in its
  // lower half. A thread claims a part by a compare-and-swap that lowers that number, which fails if the job has
  // changed in the meantime. Only a thread that has claimed a part reads the other fields, which stay the same until it
  // has finished.
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

// Returns the number of processors that this process may use, by affinity and cgroup quota; at least 1.
int available_processors();

// Tells the processor that the calling thread spins.
inline void spin_pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  std::this_thread::yield();
#endif
}

}  // namespace foretoken
