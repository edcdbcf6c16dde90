// Fibers: stacks of their own among which one operating-system thread switches. Each thread of a kernel runs on one.
#pragma once

#include <cstddef>

namespace foretoken::simt {

struct Stack {
  char* low = nullptr;  // below it lies a page that faults
  char* high = nullptr;

  bool holds(const void* address) const { return address >= low && address < high; }
};

// The stacks of all threads that run at once. They are kept for the next kernel.
class StackPool {
 public:
  static constexpr size_t kStackBytes = 256 * 1024;

  StackPool() = default;
  ~StackPool();
  StackPool(const StackPool&) = delete;
  StackPool& operator=(const StackPool&) = delete;

  // Makes sure that there are `count`.
  void reserve(size_t count);
  Stack stack(size_t index) const;

 private:
  char* memory_ = nullptr;
  size_t count_ = 0;
};

// A suspended fiber is its stack pointer. `prepare_fiber` makes one that begins with entry(), which must not return.
void* prepare_fiber(const Stack& stack, void (*entry)());

// Suspends the caller into *from and goes on with `to`.
extern "C" void foretoken_simt_switch(void** from, void* to);

}  // namespace foretoken::simt
