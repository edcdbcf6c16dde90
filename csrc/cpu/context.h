// What every CPU kernel gets beside its arguments. Kernels are compiled once per instruction-set level, so what
// they include must not put non-inline-namespaced template code into the object file: a linker that kept the
// AVX-512 copy of a shared inline function would crash older processors. Plain pointers and loops only.
#pragma once

#include <cstdint>
#include <type_traits>

#include "csrc/core/ops.h"

namespace foretoken {
class ErrorSlot;
class ThreadPool;
struct IndexProblem;
}  // namespace foretoken

namespace foretoken::cpu {

struct Context {
  ThreadPool* pool;
  int threads;
  ErrorSlot* errors;
};

using Body = void (*)(void* context, int64_t part, int thread);
void run_parts(const Context& context, int64_t parts, Body body, void* data);

// Reports `<op>: <argument>[position] is <value>, but must be in 0 … limit-1` to the stream.
void report_index(const Context& context, const char* op, const char* argument, int64_t position, int64_t value,
                  int64_t limit);

// The same for what csrc/core/tree.h finds.
void report_problem(const Context& context, const char* op, const IndexProblem& problem);

}  // namespace foretoken::cpu

// Each level has a namespace of its own.
#ifdef FORETOKEN_ISA
#define FORETOKEN_CPU_NAMESPACE foretoken::cpu::FORETOKEN_ISA

namespace foretoken::cpu::FORETOKEN_ISA {

// Activations: this backend computes in float32 only.
inline const float* as_floats(const void* data) { return static_cast<const float*>(data); }
inline float* as_floats(void* data) { return static_cast<float*>(data); }

// for part in 0 … parts-1, in parallel: body(part, thread)
template <typename F>
inline void parallel(const Context& context, int64_t parts, F&& body) {
  run_parts(
      context, parts,
      [](void* data, int64_t part, int thread) { (*static_cast<std::remove_reference_t<F>*>(data))(part, thread); },
      const_cast<void*>(static_cast<const void*>(&body)));
}

}  // namespace foretoken::cpu::FORETOKEN_ISA
#endif
