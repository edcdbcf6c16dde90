// Fibers: stacks between which one operating-system thread switches. Each thread of a kernel runs on a fiber.
#pragma once

#include <cstddef>

namespace foretoken::simt {

struct Stack {
  char* low = nullptr;  // the page below it faults
  char* high = nullptr;

  bool holds(const void* address) const { return address >= low && address < high; }
};

// The stacks of all threads that run at once. The pool keeps them for the next kernel.
class StackPool {
 public:
  static constexpr size_t kStackBytes = 256 * 1024;

  StackPool() = default;
  ~StackPool();
  StackPool(const StackPool&) = delete;
  StackPool& operator=(const StackPool&) = delete;

  // Makes stacks until there are at least `count`.
  void reserve(size_t count);
  Stack stack(size_t index) const;

 private:
  char* memory_ = nullptr;
  size_t count_ = 0;
};

// Makes a suspended fiber, represented by its stack pointer, that begins with entry(). entry() must not return.
void* prepare_fiber(const Stack& stack, void (*entry)());

// Suspends the current fiber, stores it in *from, and resumes `to`.
extern "C" void foretoken_simt_switch(void** from, void* to);

}  // namespace foretoken::simt
