// Options of the emulator.
#pragma once

#include <cstddef>
#include <cstdint>

namespace foretoken::simt {

// Which of the threads that can run runs next.
enum class Schedule {
  kInOrder,  // the first
  kReverse,  // the last
  kRandom,   // any, with a switch wherever threads synchronise
  kStarve,   // those of one random warp, redrawn now and then, before all others
};

// When asynchronous copies and products take effect.
enum class AsyncCopies {
  kEarly,   // where they are issued
  kLate,    // when a thread waits for them, or no thread can run
  kRandom,  // at a random moment between
};

struct Options {
  Schedule schedule = Schedule::kInOrder;
  AsyncCopies async_copies = AsyncCopies::kLate;
  uint64_t seed = 1;
  bool races;  // whether accesses are checked; only the checked build can check them
  int resident_blocks = 1;
  size_t memory_bytes = size_t{2} << 30;
  bool cublas = false;  // whether the stand-in for cuBLAS can be loaded
  int64_t refused = 0;  // the piece of work that a stream refuses, counted from 1; 0: none
  // The answers of the driver about itself and its devices.
  int driver_version = 13000;  // 0: no driver
  int devices = 1;
  int compute_capability = 90;

  Options();
};

// Parses any of "schedule=in-order|reverse|random|starve asyncCopies=early|late|random seed=N races=0|1
// residentBlocks=N memory=BYTES cublas=0|1 refused=N driver=VERSION devices=0|1 computeCapability=N". Throws Error for
// anything else.
Options parse_options(const char* text);

// Sets the options of streams and memory that the calling thread makes from now on.
void configure(const Options& options);
const Options& configured();

}  // namespace foretoken::simt
