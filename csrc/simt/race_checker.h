// Finds races: two accesses to the same memory, at least one of them a write, that nothing orders. Whichever ran first
// here, on a GPU the other could.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "csrc/simt/clock.h"
#include "csrc/simt/shadow.h"
#include "csrc/simt/vector_types.h"

namespace foretoken::simt {

// An access to record.
struct Access {
  Actor* actor;
  uint32_t kind;
  const void* code;
};

class RaceChecker {
 public:
  // Checks a kernel of which `blocks` blocks run at once.
  RaceChecker(dim3 block, uint32_t blocks);
  ~RaceChecker();

  ClockPool& clocks() { return clocks_; }
  uint32_t wave() const { return static_cast<uint32_t>(waves_.size()) - 1; }

  // Begins the next wave, in which these blocks run.
  void begin_wave(std::vector<uint3> blocks);

  // The actors of the i-th of the blocks that run.
  uint32_t thread_actor(uint32_t i, uint32_t rank) const { return i * threads_ + rank; }
  uint32_t tensor_core(uint32_t i, uint32_t warp) const { return blocks_ * threads_ + i * warps_ + warp; }
  uint32_t copy_engine(uint32_t i) const { return blocks_ * (threads_ + warps_) + i; }
  void begin(Actor& actor, uint32_t index);

  // An access that races with another, in the granule that begins with byte `at`.
  struct Conflict {
    const AccessRecord* other;
    size_t at;
  };
  // Records an access to bytes first … first + count - 1 of the memory that `granules` describe, and returns the first
  // conflict. If `of_wave`, ignores records that are older than this wave.
  std::optional<Conflict> record(Granule* granules, size_t first, size_t count, const Access& access, bool of_wave);

  // "block (0, 0, 0), thread (3, 0, 0) wrote at csrc/cuda/softmax.cu:9"
  std::string describe(const AccessRecord& record) const;
  std::string name_of_actor(uint32_t wave, uint32_t actor) const;
  // Returns the last write to this byte in this wave, or null.
  const AccessRecord* last_write(const Granule* granules, size_t byte) const;

 private:
  struct Interval {
    uint32_t actor, time;
  };
  struct Wave {
    uint32_t first_interval;
    std::vector<uint3> blocks;
  };

  uint32_t interval_of(Actor& actor);
  const Interval& interval(const AccessRecord& record) const { return intervals_[record.interval - first_interval_]; }
  uint32_t wave_of(uint32_t interval) const;
  bool is_ordered(const AccessRecord& before, const Access& access) const;
  const AccessRecord* record(Granule& granule, uint32_t bytes, const Access& access, uint32_t oldest);

  const dim3 block_;
  const uint32_t blocks_, threads_, warps_;
  ClockPool clocks_;
  const uint32_t first_interval_;
  std::vector<Interval> intervals_;
  std::vector<Wave> waves_;
  uint32_t victim_ = 0;
};

// Returns "reads", "writes", … for a kind of access.
const char* verb_of(uint32_t kind);

}  // namespace foretoken::simt
