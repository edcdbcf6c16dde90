// Finds accesses to the same memory, one of them a write, that nothing orders: whatever ran first here, on a GPU it
// could be the other.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "csrc/simt/clock.h"
#include "csrc/simt/shadow.h"
#include "csrc/simt/vector_types.h"

namespace foretoken::simt {

// What an access is recorded as.
struct Access {
  Actor* actor;
  uint32_t kind;
  const void* code;
};

class RaceChecker {
 public:
  // `blocks` run at once.
  RaceChecker(dim3 block, uint32_t blocks);
  ~RaceChecker();

  ClockPool& clocks() { return clocks_; }
  uint32_t wave() const { return static_cast<uint32_t>(waves_.size()) - 1; }

  // The next blocks begin to run, these.
  void begin_wave(std::vector<uint3> blocks);

  // The actors of the block that is the i-th of those that run.
  uint32_t thread_actor(uint32_t i, uint32_t rank) const { return i * threads_ + rank; }
  uint32_t tensor_core(uint32_t i, uint32_t warp) const { return blocks_ * threads_ + i * warps_ + warp; }
  uint32_t copy_engine(uint32_t i) const { return blocks_ * (threads_ + warps_) + i; }
  void begin(Actor& actor, uint32_t index);

  // Records an access to bytes first … first + count - 1 of what `granules` remember, where records older than this
  // wave's do not count if `of_wave`. Returns the record of an access that races with it; null if there is none.
  const AccessRecord* record(Granule* granules, size_t first, size_t count, const Access& access, bool of_wave);

  // "block (0, 0, 0), thread (3, 0, 0) wrote at csrc/cuda/softmax.cu:9"
  std::string describe(const AccessRecord& record) const;
  std::string name_of_actor(uint32_t wave, uint32_t actor) const;
  // The last write to this byte in this wave, or null.
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

// "reads", "writes", … of a kind of access
const char* verb_of(uint32_t kind);

}  // namespace foretoken::simt
