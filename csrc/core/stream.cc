#include "csrc/core/stream.h"

#include <algorithm>
#include <future>
#include <utility>

#include "csrc/core/start_thread.h"
#include "csrc/core/thread_pool.h"

namespace foretoken {

namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

// JavaScript enqueues the kernels of a step about a microsecond apart, so spinning beats sleeping between them.
constexpr auto kSpin = microseconds(100);

// How long a caller helps, and how long it expects a burst to take if it helps at all. JavaScript's event loop stands
// still meanwhile.
constexpr Stream::Duration kHelp = milliseconds(1);

// How long the stream's thread leaves a burst to the caller. A decoding step enqueues its burst in about 10 µs.
constexpr auto kReserve = microseconds(50);

// How many times a caller that has work to help with yields to a stream's thread that may be about to end its own.
constexpr int kYields = 16;

// While callers help, the stream's thread looks after the queue this often, so that no step has to wake it. Some time
// after the last help it sleeps until it is woken.
constexpr auto kNap = milliseconds(1);
constexpr auto kNapping = milliseconds(20);

}  // namespace

Stream::Stream() {
  std::fegetenv(&modes_);
  thread_ = start_thread([this] { work(); });
}

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

void Stream::enqueue(Task task, Duration expected) { enqueue(Work{std::move(task), nullptr}, expected); }

void Stream::enqueue(std::shared_ptr<Sequence> sequence) {
  if (sequence->tasks.empty()) return;
  const Duration expected = sequence->time.load(std::memory_order_relaxed);
  enqueue(Work{nullptr, std::move(sequence)}, expected);
}

void Stream::enqueue(Work work, Duration expected) {
  bool wake;
  {
    const std::lock_guard lock(mutex_);
    if (!burst_) {
      burst_ = Burst{Clock::now()};
      reserved_ = expects_help_ && queue_.empty();
    }
    burst_->expected = std::min(burst_->expected + expected, kUnknown);
    queue_.push_back(std::move(work));
    wake = needs_wake();
  }
  if (wake) wake_.notify_one();
}

void Stream::awaited(bool may_help) {
  Queue batch;
  bool wake = false;
  {
    std::unique_lock lock(mutex_);
    const Burst burst = burst_.value_or(Burst{Clock::now()});
    const bool is_short = burst.expected <= kHelp, helps = may_help && is_short && !queue_.empty();
    const bool is_prompt = is_short && Clock::now() - burst.begin < kReserve;
    if (helps) let_finish(lock);  // before the reservation ends, so that the thread does not take the queue itself
    burst_.reset();
    reserved_ = false;
    expects_help_ = is_prompt;
    if (helps && !running_.load(std::memory_order_acquire)) {
      batch.swap(queue_);
      pending_.store(false, std::memory_order_relaxed);
    } else if (!queue_.empty()) {
      wake = needs_wake();
    }
  }
  if (wake) wake_.notify_one();
  if (!batch.empty()) help(batch);
}

// Lets the stream's thread say that it is done: delivering results wakes JavaScript's thread, which may interrupt it
// just before. A thread that still has work cannot be told from that, so the caller yields a few times only.
void Stream::let_finish(std::unique_lock<std::mutex>& lock) {
  lock.unlock();
  for (int i = 0; i < kYields && running_.load(std::memory_order_acquire); ++i) std::this_thread::yield();
  lock.lock();
}

// Runs `batch` on the thread of the caller, for a limited time, and gives what is left to the stream's thread.
void Stream::help(Queue& batch) {
  const auto end = Clock::now() + kHelp;
  auto now = Clock::time_point();
  std::fenv_t modes;
  std::fegetenv(&modes);
  std::fesetenv(&modes_);
  do {
    run_next(batch);
    now = Clock::now();
  } while (!batch.empty() && now < end);
  std::fesetenv(&modes);
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    last_help_ = now;
    if (!batch.empty()) {
      queue_.swap(batch);  // nothing was enqueued meanwhile, because the caller alone enqueues
      wake = needs_wake();
    }
  }
  if (wake) wake_.notify_one();
}

void Stream::wait() {
  if (stop_) return;
  std::promise<void> done;
  enqueue([&] { done.set_value(); });
  done.get_future().wait();
}

// Runs the next task of `batch`, which must not be empty.
void Stream::run_next(Queue& batch) {
  Work& work = batch.front();
  if (!work.sequence) {
    work.task();
  } else {
    if (work.next == 0) work.begin = Clock::now();
    work.sequence->tasks[work.next++]();
    if (work.next < work.sequence->tasks.size()) return;
    work.sequence->time.store(Clock::now() - work.begin, std::memory_order_relaxed);
  }
  batch.pop_front();
}

void Stream::work() {
  Queue batch;
  while (wait_for_tasks(batch)) {
    while (!batch.empty()) {
      if (stop_.load(std::memory_order_relaxed)) return;
      run_next(batch);
    }
    running_.store(false, std::memory_order_release);
  }
}

// Returns whether the stream's thread has to leave the queue alone for now.
bool Stream::is_reserved() {
  if (reserved_ && (burst_->expected > kHelp || Clock::now() - burst_->begin >= kReserve)) {
    reserved_ = expects_help_ = false;
  }
  return reserved_;
}

// Shows the queue to the stream's thread if it may run it, and returns whether the thread must be woken for that.
bool Stream::needs_wake() {
  const bool is_ready = !is_reserved();
  if (is_ready) pending_.store(true, std::memory_order_release);
  // A thread that sleeps looks after a reserved queue, too, because the caller may never ask for results.
  const bool wakes = is_ready ? thread_state_ != Thread::kAwake : thread_state_ == Thread::kSleeping;
  if (wakes) thread_state_ = Thread::kAwake;
  return wakes;
}

// Waits for tasks and moves them into `batch`. Returns false when the stream stops.
bool Stream::wait_for_tasks(Queue& batch) {
  const auto give_up = Clock::now() + kSpin;
  const auto is_ready = [&] {
    return pending_.load(std::memory_order_acquire) || stop_.load(std::memory_order_relaxed);
  };
  while (!is_ready() && Clock::now() < give_up) {
    for (int i = 0; i < 20 && !is_ready(); ++i) spin_pause();
    // Lets JavaScript run, which may be waiting for this processor to enqueue the next task.
    std::this_thread::yield();
  }
  std::unique_lock lock(mutex_);
  while (!stop_ && (queue_.empty() || is_reserved())) {
    const auto now = Clock::now();
    if (reserved_) {
      thread_state_ = Thread::kNapping;
      wake_.wait_until(lock, burst_->begin + kReserve);
    } else if (now - last_help_ < kNapping) {
      thread_state_ = Thread::kNapping;
      wake_.wait_for(lock, kNap);
    } else {
      thread_state_ = Thread::kSleeping;
      wake_.wait(lock);
    }
  }
  thread_state_ = Thread::kAwake;
  if (stop_) return false;
  batch.swap(queue_);
  pending_.store(false, std::memory_order_relaxed);
  running_.store(true, std::memory_order_relaxed);
  return true;
}

}  // namespace foretoken
