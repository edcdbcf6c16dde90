// One thread that runs enqueued tasks in order: the stream of the CPU and of the emulated GPU.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace foretoken {

class Stream {
 public:
  using Task = std::function<void()>;

  Stream();
  ~Stream() { stop(); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  void enqueue(Task task);
  // Blocks the caller until all enqueued tasks have run.
  void wait();
  // Waits for the running task and drops the queued ones; no task runs afterwards.
  void stop();

 private:
  void work();
  bool wait_for_tasks(std::deque<Task>& batch);

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Task> queue_;  // guarded by mutex_
  bool sleeping_ = false;   // guarded by mutex_
  std::atomic<bool> stop_{false};
  std::atomic<bool> pending_{false};
  std::thread thread_;
};

}  // namespace foretoken
