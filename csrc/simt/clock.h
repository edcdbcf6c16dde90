// Vector clocks: what each actor of a kernel knows of what the others did. An actor is whoever accesses memory on its
// own: a thread, the tensor core of a warp, the copy engine of a block. Its time advances wherever it hands on what it
// knows; what it did at a time happens before what another does once that one knows of the time.
//
// Clocks are shared, and never change once they are: after a barrier all its threads hold the same one.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

namespace foretoken::simt {

struct History;

struct Clock {
  uint32_t references = 0;
  // The time of each actor up to which its accesses are known. Behind them, once there was a fence of proxies, the same
  // for what the asynchronous proxy (copy engines, tensor cores) may see of them.
  std::vector<uint32_t> times;
  bool has_proxied = false;
  std::shared_ptr<const History> history;  // what is known of earlier waves of blocks; may be null
};

class ClockPool;

// A counted reference; not for several operating-system threads.
class ClockRef {
 public:
  ClockRef() = default;
  ClockRef(Clock* clock, ClockPool* pool) : clock_(clock), pool_(pool) { ++clock_->references; }
  ClockRef(const ClockRef& other) : clock_(other.clock_), pool_(other.pool_) {
    if (clock_) ++clock_->references;
  }
  ClockRef(ClockRef&& other) noexcept : clock_(std::exchange(other.clock_, nullptr)), pool_(other.pool_) {}
  ClockRef& operator=(ClockRef other) noexcept {
    std::swap(clock_, other.clock_);
    std::swap(pool_, other.pool_);
    return *this;
  }
  ~ClockRef();

  explicit operator bool() const { return clock_ != nullptr; }
  bool operator==(const ClockRef& other) const { return clock_ == other.clock_; }
  const Clock* operator->() const { return clock_; }

 private:
  Clock* clock_ = nullptr;
  ClockPool* pool_ = nullptr;
};

struct History {
  struct Wave {
    uint32_t wave;
    ClockRef clock;
  };
  std::vector<Wave> waves;  // rising
};

struct Actor {
  uint32_t index = 0;
  uint32_t time = 1;
  uint32_t interval = 0;  // that of this time in the checker's records; 0: nothing accessed yet
  bool in_order = true;   // whether it does one thing after the other
  ClockRef known;         // its own entry does not count; `time` does

  void advance() {
    ++time;
    interval = 0;
  }
  // Whether it knows of what `other` did at `when`; `proxied`: whether that may be seen by the asynchronous proxy.
  bool knows(uint32_t other, uint32_t when, bool proxied) const {
    if (!proxied) return (other == index && in_order) || known->times[other] >= when;
    return known->has_proxied && known->times[known->times.size() / 2 + other] >= when;
  }
};

class ClockPool {
 public:
  explicit ClockPool(uint32_t actors) : actors_(actors) {}
  ~ClockPool();
  ClockPool(const ClockPool&) = delete;
  ClockPool& operator=(const ClockPool&) = delete;

  // A clock that knows nothing but `history`.
  ClockRef unknowing(std::shared_ptr<const History> history = nullptr);
  // What either knows.
  ClockRef joined(const ClockRef& a, const ClockRef& b);
  // What the actor knows, itself included.
  ClockRef of(const Actor& actor);
  // The same, all of which the asynchronous proxy may see.
  ClockRef proxied(const Actor& actor);
  // `clock` and a time of one more actor.
  ClockRef with(const ClockRef& clock, uint32_t actor, uint32_t time);

 private:
  friend class ClockRef;
  friend class ClockSum;
  Clock* make();
  Clock* copy(const Clock& clock);
  void join(Clock& into, const Clock& from);
  void recycle(Clock* clock);

  const uint32_t actors_;
  std::deque<Clock> all_;
  std::vector<Clock*> unused_;
};

// What the actors that meet at a barrier know together.
class ClockSum {
 public:
  // Adds what the actor knows and did; its time advances.
  void add(ClockPool& pool, Actor& actor);
  // Adds what another did up to `time`.
  void add_time(ClockPool& pool, uint32_t actor, uint32_t time);
  // The sum, which starts anew; null if nothing was added.
  ClockRef take();

 private:
  Clock* begin(ClockPool& pool, const ClockRef& known);

  Clock* sum_ = nullptr;  // held by sum_reference_ alone
  ClockRef sum_reference_;
  ClockRef last_;  // added last: the next one mostly knows the same
};

inline ClockRef::~ClockRef() {
  if (clock_ && --clock_->references == 0) pool_->recycle(clock_);
}

}  // namespace foretoken::simt
