// The built-in variables, and small functions that involve no other thread.
#include <chrono>

#include "csrc/simt/cuda_runtime.h"
#include "csrc/simt/scheduler.h"

namespace foretoken::simt {

uint3 thread_index() { return current_thread().index; }
uint3 block_index() { return current_thread().block->index; }
uint3 block_size() { return current_launch->block; }
uint3 grid_size() { return current_launch->grid; }

}  // namespace foretoken::simt

using namespace foretoken::simt;

void __nanosleep(unsigned) {
  begin_operation("__nanosleep", __builtin_return_address(0));
  give_way();
}

void __trap() {
  begin_operation("__trap", __builtin_return_address(0));
  fail("__trap");
}

long long clock64() { return std::chrono::steady_clock::now().time_since_epoch().count(); }

unsigned __brev(unsigned x) {
  unsigned reversed = 0;
  for (int bit = 0; bit < 32; ++bit) reversed |= (x >> bit & 1) << (31 - bit);
  return reversed;
}

unsigned __byte_perm(unsigned x, unsigned y, unsigned selector) {
  const uint64_t bytes = static_cast<uint64_t>(y) << 32 | x;
  unsigned result = 0;
  for (int i = 0; i < 4; ++i) {
    const unsigned choice = selector >> (4 * i) & 0xf;
    auto byte = static_cast<unsigned>(bytes >> (8 * (choice & 7)) & 0xff);
    if (choice & 8) byte = byte & 0x80 ? 0xff : 0;  // its sign, repeated
    result |= byte << (8 * i);
  }
  return result;
}
