#include "csrc/simt/atomics.h"

#include <string_view>

#include "csrc/simt/memory_access.h"
#include "csrc/simt/scheduler.h"
#include "csrc/simt/thread_builtins.h"

namespace foretoken::simt {

namespace {

// Whether the new value depends on the old one.
constexpr bool reads(std::string_view name) { return name != "atomicExch"; }

template <bool kReads, typename T, typename F>
T change(T* address, const char* operation, const void* code, F&& next) {
  begin_operation(operation, code);
  maybe_switch();
  if (current_launch->checker) {
    if (kReads) check_access(address, sizeof(T), kRead | kAtomic, code);
    check_access(address, sizeof(T), kWrite | kAtomic, code);
    current_launch->atomic_order->change(address, atomic_scope(address));
  }
  const T before = *address;
  *address = next(before);
  return before;
}

void fence(bool device) {
  maybe_switch();
  Launch& launch = *current_launch;
  Thread& thread = *launch.current;
  if (launch.checker) launch.atomic_order->fence(thread.actor, thread.fences, device);
}

}  // namespace

}  // namespace foretoken::simt

using namespace foretoken::simt;

#define FORETOKEN_ATOMIC(name, Type, expression)                                                 \
  Type name(Type* address, Type value) {                                                         \
    return change<reads(#name)>(address, #name, __builtin_return_address(0),                     \
                                [value](Type before) { return static_cast<Type>(expression); }); \
  }
#define FORETOKEN_ATOMIC_CAS(Type)                                                         \
  Type atomicCAS(Type* address, Type expected, Type value) {                               \
    return change<true>(address, "atomicCAS", __builtin_return_address(0),                 \
                        [=](Type before) { return before == expected ? value : before; }); \
  }
#define FORETOKEN_ATOMICS(Type)                                      \
  FORETOKEN_ATOMIC(atomicMin, Type, value < before ? value : before) \
  FORETOKEN_ATOMIC(atomicMax, Type, value > before ? value : before) \
  FORETOKEN_ATOMIC(atomicExch, Type, value)                          \
  FORETOKEN_ATOMIC(atomicAnd, Type, before& value)                   \
  FORETOKEN_ATOMIC(atomicOr, Type, before | value)                   \
  FORETOKEN_ATOMIC(atomicXor, Type, before ^ value)                  \
  FORETOKEN_ATOMIC_CAS(Type)

FORETOKEN_ATOMICS(int)
FORETOKEN_ATOMICS(unsigned)
FORETOKEN_ATOMICS(unsigned long long)

// Sums of integers wrap around.
FORETOKEN_ATOMIC(atomicAdd, int, static_cast<unsigned>(before) + static_cast<unsigned>(value))
FORETOKEN_ATOMIC(atomicSub, int, static_cast<unsigned>(before) - static_cast<unsigned>(value))
FORETOKEN_ATOMIC(atomicAdd, unsigned, before + value)
FORETOKEN_ATOMIC(atomicSub, unsigned, before - value)
FORETOKEN_ATOMIC(atomicAdd, unsigned long long, before + value)
FORETOKEN_ATOMIC(atomicSub, unsigned long long, before - value)
FORETOKEN_ATOMIC(atomicAdd, float, before + value)
FORETOKEN_ATOMIC(atomicAdd, double, before + value)
FORETOKEN_ATOMIC(atomicExch, float, value)
FORETOKEN_ATOMIC(atomicMin, long long, value < before ? value : before)
FORETOKEN_ATOMIC(atomicMax, long long, value > before ? value : before)
// Counters that wrap around, to 0 or to `value`.
FORETOKEN_ATOMIC(atomicInc, unsigned, before >= value ? 0 : before + 1)
FORETOKEN_ATOMIC(atomicDec, unsigned, before == 0 || before > value ? value : before - 1)

void __threadfence_block() { fence(false); }
void __threadfence() { fence(true); }
void __threadfence_system() { fence(true); }
