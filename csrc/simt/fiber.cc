#include "csrc/simt/fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <new>

namespace foretoken::simt {

namespace {

constexpr size_t kPage = 4096;
constexpr size_t kStride = StackPool::kStackBytes + kPage;

}  // namespace

StackPool::~StackPool() {
  if (memory_) munmap(memory_, count_ * kStride);
}

void StackPool::reserve(size_t count) {
  if (count <= count_) return;
  void* const memory = mmap(nullptr, count * kStride, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  if (memory_) munmap(memory_, count_ * kStride);
  memory_ = static_cast<char*>(memory);
  count_ = count;
  for (size_t i = 0; i < count; ++i) mprotect(memory_ + i * kStride, kPage, PROT_NONE);
}

Stack StackPool::stack(size_t index) const {
  char* const guard = memory_ + index * kStride;
  // Stacks whose tops are a multiple of the page size apart would compete for the same cache lines.
  const size_t shift = index * 7 % 32 * 128;
  return {guard + kPage, guard + kStride - shift};
}

// Saves the callee-saved registers and the stack pointer, then restores those of the other fiber.
#if defined(__x86_64__)

asm(R"(
.text
.globl foretoken_simt_switch
.hidden foretoken_simt_switch
.type foretoken_simt_switch, @function
foretoken_simt_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size foretoken_simt_switch, .-foretoken_simt_switch
)");

void* prepare_fiber(const Stack& stack, void (*entry)()) {
  constexpr int kSaved = 6;
  auto** top = reinterpret_cast<void**>(reinterpret_cast<uintptr_t>(stack.high) & ~uintptr_t{15});
  *--top = nullptr;  // the return address of entry(); aligns the stack as after a call
  *--top = reinterpret_cast<void*>(entry);
  for (int i = 0; i < kSaved; ++i) *--top = nullptr;
  return top;
}

#elif defined(__aarch64__)

asm(R"(
.text
.globl foretoken_simt_switch
.hidden foretoken_simt_switch
.type foretoken_simt_switch, %function
foretoken_simt_switch:
  sub sp, sp, #160
  stp x19, x20, [sp, #0]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #0]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
.size foretoken_simt_switch, .-foretoken_simt_switch
)");

void* prepare_fiber(const Stack& stack, void (*entry)()) {
  constexpr int kSaved = 20, kReturnAddress = 11;
  auto* top = reinterpret_cast<void**>(reinterpret_cast<uintptr_t>(stack.high) & ~uintptr_t{15}) - kSaved;
  for (int i = 0; i < kSaved; ++i) top[i] = nullptr;
  top[kReturnAddress] = reinterpret_cast<void*>(entry);
  return top;
}

#else
#error "the emulator can switch stacks only on x86-64 and aarch64"
#endif

}  // namespace foretoken::simt
