#include "csrc/simt/clock.h"

#include <algorithm>

namespace foretoken::simt {

namespace {

void raise(std::vector<uint32_t>& into, const std::vector<uint32_t>& from) {
  uint32_t* const to = into.data();
  const uint32_t* const other = from.data();
  for (size_t i = 0, count = from.size(); i < count; ++i) to[i] = std::max(to[i], other[i]);
}

}  // namespace

ClockPool::~ClockPool() {
  // Histories refer to other clocks; a kernel that failed leaves some of both behind.
  for (Clock& clock : all_) clock.history.reset();
}

Clock* ClockPool::make() {
  if (unused_.empty()) return &all_.emplace_back();
  Clock* const clock = unused_.back();
  unused_.pop_back();
  return clock;
}

void ClockPool::recycle(Clock* clock) {
  clock->history.reset();
  unused_.push_back(clock);
}

ClockRef ClockPool::unknowing(std::shared_ptr<const History> history) {
  Clock* const clock = make();
  clock->times.assign(actors_, 0);
  clock->has_proxied = false;
  clock->history = std::move(history);
  return {clock, this};
}

Clock* ClockPool::copy(const Clock& clock) {
  Clock* const made = make();
  made->times = clock.times;
  made->has_proxied = clock.has_proxied;
  made->history = clock.history;
  return made;
}

void ClockPool::join(Clock& into, const Clock& from) {
  if (from.has_proxied && !into.has_proxied) {
    into.times.resize(2 * actors_, 0);
    into.has_proxied = true;
  }
  raise(into.times, from.times);
  if (!from.history || from.history == into.history) return;
  if (!into.history) {
    into.history = from.history;
    return;
  }
  const auto merged = std::make_shared<History>();
  const auto &a = into.history->waves, &b = from.history->waves;
  for (size_t i = 0, j = 0; i < a.size() || j < b.size();) {
    if (j == b.size() || (i < a.size() && a[i].wave < b[j].wave)) {
      merged->waves.push_back(a[i++]);
    } else if (i == a.size() || b[j].wave < a[i].wave) {
      merged->waves.push_back(b[j++]);
    } else {
      merged->waves.push_back({a[i].wave, joined(a[i].clock, b[j].clock)});
      ++i, ++j;
    }
  }
  into.history = merged;
}

ClockRef ClockPool::joined(const ClockRef& a, const ClockRef& b) {
  if (a == b || !b) return a;
  if (!a) return b;
  const ClockRef result(copy(*a.operator->()), this);
  join(const_cast<Clock&>(*result.operator->()), *b.operator->());
  return result;
}

ClockRef ClockPool::with(const ClockRef& clock, uint32_t actor, uint32_t time) {
  Clock* const made = copy(*clock.operator->());
  made->times[actor] = std::max(made->times[actor], time);
  return {made, this};
}

ClockRef ClockPool::of(const Actor& actor) { return with(actor.known, actor.index, actor.time); }

ClockRef ClockPool::proxied(const Actor& actor) {
  Clock* const made = copy(*actor.known.operator->());
  made->times[actor.index] = actor.time;
  made->times.resize(2 * actors_);
  std::copy_n(made->times.begin(), actors_, made->times.begin() + actors_);
  made->has_proxied = true;
  return {made, this};
}

Clock* ClockSum::begin(ClockPool& pool, const ClockRef& known) {
  sum_ = pool.copy(*known.operator->());
  sum_reference_ = ClockRef(sum_, &pool);
  last_ = known;
  return sum_;
}

void ClockSum::add(ClockPool& pool, Actor& actor) {
  if (!sum_) {
    begin(pool, actor.known);
  } else if (!(actor.known == last_)) {
    pool.join(*sum_, *actor.known.operator->());
    last_ = actor.known;
  }
  uint32_t& time = sum_->times[actor.index];
  time = std::max(time, actor.time);
  actor.advance();
}

void ClockSum::add_time(ClockPool& pool, uint32_t actor, uint32_t time) {
  if (!sum_) begin(pool, pool.unknowing());
  sum_->times[actor] = std::max(sum_->times[actor], time);
}

ClockRef ClockSum::take() {
  sum_ = nullptr;
  last_ = ClockRef();
  return std::move(sum_reference_);
}

}  // namespace foretoken::simt
