// How the emulator runs kernels.
#pragma once

#include <cstddef>
#include <cstdint>

namespace foretoken::simt {

// Which of the threads that can run does.
enum class Schedule {
  kInOrder,  // the first
  kReverse,  // the last
  kRandom,   // any, and changing wherever threads meet
  kStarve,   // those of one warp, drawn anew now and then, before all others
};

// When asynchronous copies and products take effect.
enum class AsyncCopies {
  kEarly,   // where they are issued
  kLate,    // where they are waited for, or nothing else can run
  kRandom,  // anywhere between
};

struct Options {
  Schedule schedule = Schedule::kInOrder;
  AsyncCopies async_copies = AsyncCopies::kLate;
  uint64_t seed = 1;
  bool races;  // whether accesses are checked; only the checked build can
  int resident_blocks = 1;
  size_t memory_bytes = size_t{2} << 30;
  bool cublas = false;  // whether there is one: the stand-in for it
  int64_t refused = 0;  // which piece of work a stream does not take, counted from 1; 0: none
  // What the driver says of itself and of its devices.
  int driver_version = 13000;  // 0: there is no driver
  int devices = 1;
  int compute_capability = 90;

  Options();
};

// "schedule=in-order|reverse|random|starve asyncCopies=early|late|random seed=N races=0|1 residentBlocks=N
// memory=BYTES cublas=0|1 refused=N driver=VERSION devices=0|1 computeCapability=N", any of them. Throws Error for
// anything else.
Options parse_options(const char* text);

// What streams and memory take that the calling thread makes from here on.
void configure(const Options& options);
const Options& configured();

}  // namespace foretoken::simt
