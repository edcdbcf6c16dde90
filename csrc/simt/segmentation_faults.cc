#include "csrc/simt/segmentation_faults.h"

#include <ucontext.h>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <mutex>

#include "csrc/simt/scheduler.h"
#include "csrc/simt/source_lines.h"

namespace foretoken::simt {

namespace {

constexpr int kSignals[] = {SIGSEGV, SIGBUS};
struct sigaction earlier_actions[2];

// The fault that the handler passes to report_fault.
struct Fault {
  const char* address;
  const char* code;
};
constinit thread_local Fault fault __attribute__((tls_model("initial-exec"))) = {};

// Runs instead of the code that made the access, on the emptied stack of its thread.
[[noreturn]] void report_fault() {
  const Thread& thread = current_thread();
  constexpr ptrdiff_t kGuard = 4096;
  if (fault.address < thread.stack.low && fault.address >= thread.stack.low - kGuard) {
    fail("the thread has run out of its stack of " + std::to_string(StackPool::kStackBytes / 1024) + " KiB");
  }
  char text[64];
  std::snprintf(text, sizeof text, "access to address %p, which is not mapped", fault.address);
  // source_line expects the address after a call.
  fail(text + ("\n  at " + source_line(fault.code + 1)));
}

void go_to(ucontext_t& context, void (*function)(), char* stack) {
  const uintptr_t top = reinterpret_cast<uintptr_t>(stack) & ~uintptr_t{15};
#if defined(__x86_64__)
  context.uc_mcontext.gregs[REG_RIP] = reinterpret_cast<greg_t>(function);
  context.uc_mcontext.gregs[REG_RSP] = static_cast<greg_t>(top - 8);  // as after a call
#elif defined(__aarch64__)
  context.uc_mcontext.pc = reinterpret_cast<uintptr_t>(function);
  context.uc_mcontext.sp = top;
#endif
}

const char* code_of(const ucontext_t& context) {
#if defined(__x86_64__)
  return reinterpret_cast<const char*>(context.uc_mcontext.gregs[REG_RIP]);
#elif defined(__aarch64__)
  return reinterpret_cast<const char*>(context.uc_mcontext.pc);
#endif
}

void hand_on(int signal, siginfo_t* info, void* context) {
  const struct sigaction& earlier = earlier_actions[signal == kSignals[0] ? 0 : 1];
  if (earlier.sa_flags & SA_SIGINFO) earlier.sa_sigaction(signal, info, context);
  else if (earlier.sa_handler == SIG_DFL) sigaction(signal, &earlier, nullptr);  // the access is then repeated
  else if (earlier.sa_handler != SIG_IGN) earlier.sa_handler(signal);
}

void handle(int signal, siginfo_t* info, void* where) {
  auto& context = *static_cast<ucontext_t*>(where);
  if (!current_launch || !current_launch->current) return hand_on(signal, info, where);
  fault = {static_cast<const char*>(info->si_addr), code_of(context)};
  go_to(context, report_fault, current_thread().stack.high);
}

// The stack of this thread's signal handlers, because the thread may have run out of its own.
class AlternateStack {
 public:
  AlternateStack() : memory_(new char[kBytes]) {
    stack_t stack{};
    stack.ss_sp = memory_.get();
    stack.ss_size = kBytes;
    sigaltstack(&stack, nullptr);
  }
  ~AlternateStack() {
    stack_t none{};
    none.ss_flags = SS_DISABLE;
    sigaltstack(&none, nullptr);
  }

 private:
  static constexpr size_t kBytes = 64 * 1024;
  const std::unique_ptr<char[]> memory_;
};

void install() {
  struct sigaction action {};
  action.sa_sigaction = handle;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  for (int i = 0; i < 2; ++i) sigaction(kSignals[i], &action, &earlier_actions[i]);
}

}  // namespace

void catch_segmentation_faults() {
  static std::once_flag once;
  std::call_once(once, install);
  static thread_local const AlternateStack stack;
}

}  // namespace foretoken::simt
