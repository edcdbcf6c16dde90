// Vector clocks: what each actor of a kernel knows of what the others did. An actor accesses memory on its own: a
// thread, the tensor core of a warp, or the copy engine of a block. An actor's time advances whenever it passes on what
// it knows. What it did at a time happens before everything that another actor does once the other knows of that time.
//
// Clocks are shared, and a shared clock never changes: after a barrier all its threads hold the same one.
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
  // The time of each actor up to which its accesses are known. After a proxy fence, a second half follows: the times up
  // to which the asynchronous proxy (copy engines, tensor cores) may see the accesses.
  std::vector<uint32_t> times;
  bool has_proxied = false;
  std::shared_ptr<const History> history;  // what is known of earlier waves of blocks; may be null
};

class ClockPool;

// A counted reference, for a single operating-system thread.
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
  std::vector<Wave> waves;  // in ascending order
};

struct Actor {
  uint32_t index = 0;
  uint32_t time = 1;
  uint32_t interval = 0;  // of this time in the checker's records; 0: nothing accessed yet
  bool in_order = true;   // whether its own accesses are ordered
  ClockRef known;         // its own entry is ignored; `time` replaces it

  void advance() {
    ++time;
    interval = 0;
  }
  // Whether the actor knows of what `other` did at `when`; if `proxied`, whether the asynchronous proxy may see that.
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

  // Makes a clock that knows only `history`.
  ClockRef unknowing(std::shared_ptr<const History> history = nullptr);
  // Returns what either clock knows.
  ClockRef joined(const ClockRef& a, const ClockRef& b);
  // Returns what the actor knows, its own accesses included.
  ClockRef of(const Actor& actor);
  // Returns the same, and that the asynchronous proxy may see all of it.
  ClockRef proxied(const Actor& actor);
  // Returns what `clock` knows and the accesses of one more actor up to `time`.
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

// Adds up what the actors that arrive at a barrier know.
class ClockSum {
 public:
  // Adds what the actor knows and did, and advances its time.
  void add(ClockPool& pool, Actor& actor);
  // Adds what another actor did up to `time`.
  void add_time(ClockPool& pool, uint32_t actor, uint32_t time);
  // Returns the sum and starts a new one; null if nothing was added.
  ClockRef take();

 private:
  Clock* begin(ClockPool& pool, const ClockRef& known);

  Clock* sum_ = nullptr;  // held only by sum_reference_
  ClockRef sum_reference_;
  ClockRef last_;  // the clock added last, which the next actor mostly holds as well
};

inline ClockRef::~ClockRef() {
  if (clock_ && --clock_->references == 0) pool_->recycle(clock_);
}

}  // namespace foretoken::simt
