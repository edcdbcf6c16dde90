#include "csrc/simt/race_checker.h"

#include <algorithm>
#include <cstdio>

#include "csrc/simt/library_image.h"
#include "csrc/simt/report.h"
#include "csrc/simt/source_lines.h"

namespace foretoken::simt {

namespace {

constexpr uint32_t kLanesOfWarp = 32;

// The number of the next launch's first interval. Numbers rise from launch to launch, so that old records are
// recognised by their age. Kernels run one at a time, so no lock is needed.
uint32_t next_interval = 1;

}  // namespace

const char* verb_of(uint32_t kind) {
  if (kind & kAtomic) return kind & kWrite ? "changes atomically" : "reads atomically";
  return kind & kWrite ? "writes" : "reads";
}

RaceChecker::RaceChecker(dim3 block, uint32_t blocks)
    : block_(block),
      blocks_(blocks),
      threads_(block.x * block.y * block.z),
      warps_((threads_ + kLanesOfWarp - 1) / kLanesOfWarp),
      clocks_(blocks * (threads_ + warps_ + 1)),
      first_interval_(next_interval) {}

RaceChecker::~RaceChecker() { next_interval += static_cast<uint32_t>(intervals_.size()); }

void RaceChecker::begin_wave(std::vector<uint3> blocks) {
  waves_.push_back({first_interval_ + static_cast<uint32_t>(intervals_.size()), std::move(blocks)});
}

void RaceChecker::begin(Actor& actor, uint32_t index) {
  actor = {};
  actor.index = index;
  actor.known = clocks_.unknowing();
}

uint32_t RaceChecker::interval_of(Actor& actor) {
  if (actor.interval == 0) {
    actor.interval = first_interval_ + static_cast<uint32_t>(intervals_.size());
    intervals_.push_back({actor.index, actor.time});
  }
  return actor.interval;
}

uint32_t RaceChecker::wave_of(uint32_t interval) const {
  const auto after = std::upper_bound(waves_.begin(), waves_.end(), interval,
                                      [](uint32_t value, const Wave& wave) { return value < wave.first_interval; });
  return static_cast<uint32_t>(after - waves_.begin()) - 1;
}

bool RaceChecker::is_ordered(const AccessRecord& before, const Access& access) const {
  const Interval& done = interval(before);
  const Actor& actor = *access.actor;
  if (before.interval >= waves_.back().first_interval) {
    const bool proxies_differ = access.kind & kAsync && !(before.kind() & kAsync) && before.kind() & kWrite;
    return actor.knows(done.actor, done.time, proxies_differ);
  }
  if (!actor.known->history) return false;
  const uint32_t wave = wave_of(before.interval);
  const auto& known = actor.known->history->waves;
  const auto found = std::lower_bound(known.begin(), known.end(), wave,
                                      [](const History::Wave& one, uint32_t value) { return one.wave < value; });
  return found != known.end() && found->wave == wave && found->clock->times[done.actor] >= done.time;
}

const AccessRecord* RaceChecker::record(Granule& granule, uint32_t bytes, const Access& access, uint32_t oldest) {
  constexpr auto kRecords = static_cast<uint32_t>(Granule::kRecords);
  constexpr uint32_t kNone = kRecords;
  const uint32_t own = access.actor->interval;
  uint32_t empty = kNone, superseded = kNone, some_read = kNone;
  for (uint32_t i = 0; i < kRecords; ++i) {
    const AccessRecord& other = granule.records[i];
    if (other.interval < oldest) {
      empty = i;
      continue;
    }
    const bool reads = !(other.kind() & kWrite);
    if (reads) some_read = i;
    const bool covered = (other.bytes() & ~bytes) == 0 && (reads || access.kind & kWrite);
    if (other.interval == own) {
      if ((bytes & ~other.bytes()) == 0 && other.kind() == access.kind) return nullptr;  // recorded already
      if (covered) superseded = i;
      continue;
    }
    const bool conflict =
        (other.bytes() & bytes) && (access.kind | other.kind()) & kWrite && !(access.kind & other.kind() & kAtomic);
    if (!conflict) continue;
    if (!is_ordered(other, access)) return &other;
    if (covered) superseded = i;
  }
  uint32_t place = superseded != kNone ? superseded : empty;
  // If all records are in use, replaces one, mostly a read, because memory is read more often than written.
  if (place == kNone) place = some_read != kNone && victim_ % 4 ? some_read : victim_ % kRecords;
  ++victim_;
  granule.records[place] = {own, AccessRecord::pack(access.kind, bytes, library_image().offset(access.code))};
  return nullptr;
}

std::optional<RaceChecker::Conflict> RaceChecker::record(Granule* granules, size_t first, size_t count,
                                                         const Access& access, bool of_wave) {
  interval_of(*access.actor);
  const uint32_t oldest = of_wave ? waves_.back().first_interval : first_interval_;
  const size_t end = first + count;
  for (size_t at = first; at < end;) {
    const size_t granule = at / Granule::kBytes, begin = at % Granule::kBytes;
    const size_t stop = std::min(end - granule * Granule::kBytes, Granule::kBytes);
    const auto bytes = static_cast<uint32_t>((1u << stop) - (1u << begin));
    if (const AccessRecord* const other = record(granules[granule], bytes, access, oldest)) return Conflict{other, at};
    at = (granule + 1) * Granule::kBytes;
  }
  return std::nullopt;
}

const AccessRecord* RaceChecker::last_write(const Granule* granules, size_t byte) const {
  const AccessRecord* last = nullptr;
  for (const AccessRecord& one : granules[byte / Granule::kBytes].records) {
    const bool here = one.interval >= waves_.back().first_interval && one.bytes() >> (byte % Granule::kBytes) & 1;
    if (here && one.kind() & kWrite && (!last || one.interval > last->interval)) last = &one;
  }
  return last;
}

std::string RaceChecker::name_of_actor(uint32_t wave, uint32_t actor) const {
  const uint32_t all_threads = blocks_ * threads_, all_warps = blocks_ * warps_;
  uint32_t place;
  std::string who;
  if (actor < all_threads) {
    place = actor / threads_;
    const uint32_t rank = actor % threads_;
    who = "thread " + triple({rank % block_.x, rank / block_.x % block_.y, rank / block_.x / block_.y});
  } else if (actor < all_threads + all_warps) {
    place = (actor - all_threads) / warps_;
    who = "the tensor core of warp " + std::to_string((actor - all_threads) % warps_);
  } else {
    place = actor - all_threads - all_warps;
    who = "an asynchronous copy";
  }
  return "block " + triple(waves_[wave].blocks[place]) + ", " + who;
}

std::string RaceChecker::describe(const AccessRecord& record) const {
  return name_of_actor(wave_of(record.interval), interval(record).actor) + " " + verb_of(record.kind()) + " at " +
         source_line(library_image().begin + record.code());
}

}  // namespace foretoken::simt
