// A queue of tasks that run in order, one at a time: the stream of the CPU and of the emulated GPU.
//
// A thread of the stream runs them. If they are known to take little time, the thread that enqueues them may run them
// itself as soon as it needs their results (`awaited`). That saves the way to the stream's thread and back, which takes
// as long as a third of a decoding step of a small model.
#pragma once

#include <atomic>
#include <cfenv>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

namespace foretoken {

class Stream {
 public:
  using Task = std::function<void()>;
  using Clock = std::chrono::steady_clock;
  using Duration = std::chrono::nanoseconds;
  // The expected time of a task that may take long.
  static constexpr Duration kUnknown = std::chrono::hours(1);

  // Tasks that run one after another, each time that they are enqueued.
  struct Sequence {
    std::vector<Task> tasks;
    // How long they took the last time.
    std::atomic<Duration> time{kUnknown};
  };

  Stream();
  ~Stream() { stop(); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  void enqueue(Task task, Duration expected = kUnknown);
  void enqueue(std::shared_ptr<Sequence> sequence);
  // Tells the stream that the caller needs the results of all tasks enqueued so far. With `may_help`, the tasks may run
  // inside this call, if it is likely that all of them take less than a millisecond. What has not begun after a
  // millisecond is left to the stream's thread.
  void awaited(bool may_help);
  // Blocks the caller until all enqueued tasks have run.
  void wait();
  // Waits for the running task and drops the queued ones; no task runs afterwards.
  void stop();

 private:
  // An element of the queue: a task, or a sequence of which the tasks before `next` have run.
  struct Work {
    Task task;
    std::shared_ptr<Sequence> sequence;
    size_t next = 0;
    Clock::time_point begin{};
  };
  using Queue = std::deque<Work>;
  // Work that was enqueued since the last call of awaited().
  struct Burst {
    Clock::time_point begin;
    Duration expected{0};
  };

  void enqueue(Work work, Duration expected);
  void work();
  bool wait_for_tasks(Queue& batch);
  bool is_reserved();
  bool needs_wake();
  static void run_next(Queue& batch);
  void help(Queue& batch);
  void let_finish(std::unique_lock<std::mutex>& lock);

  // Floating-point modes of the stream's thread, which it gets from the thread that creates the stream.
  std::fenv_t modes_;
  std::mutex mutex_;
  std::condition_variable wake_;
  // All of these are guarded by mutex_.
  Queue queue_;
  std::optional<Burst> burst_;
  bool expects_help_ = false;  // whether the last burst was short, and awaited at once
  bool reserved_ = false;      // whether the stream's thread leaves the queue to a caller that is about to help
  enum class Thread { kAwake, kNapping, kSleeping } thread_state_ = Thread::kAwake;
  Clock::time_point last_help_{};

  std::atomic<bool> stop_{false};
  std::atomic<bool> pending_{false};  // whether the stream's thread shall look at the queue
  std::atomic<bool> running_{false};  // whether the stream's thread runs tasks
  std::thread thread_;
};

}  // namespace foretoken
