// The context that every CPU kernel gets beside its arguments. Kernels are compiled once per instruction-set level. So
// their headers must define inline functions and templates in the level's namespace only, and kernels use plain
// pointers and loops: a linker that keeps the AVX-512 copy of a shared inline function crashes older processors.
#pragma once

#include <cstddef>
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

// Reports `<op>: <argument>[position] is <value>, but must be in 0 … limit - 1` to the stream.
void report_index(const Context& context, const char* op, const char* argument, int64_t position, int64_t value,
                  int64_t limit);

// Reports a problem that find_problem() of csrc/core/tree.h found.
void report_problem(const Context& context, const char* op, const IndexProblem& problem);

}  // namespace foretoken::cpu

#ifdef FORETOKEN_ISA
namespace foretoken::cpu::FORETOKEN_ISA {

// Casts activations, which are always float32 in this backend.
inline const float* as_floats(const void* data) { return static_cast<const float*>(data); }
inline float* as_floats(void* data) { return static_cast<float*>(data); }

inline void copy_floats(float* out, const float* in, int64_t count) {
  __builtin_memcpy(out, in, static_cast<size_t>(count) * sizeof(float));
}

// Calls body(part, thread) for every part in 0 … parts - 1, in parallel.
template <typename F>
inline void parallel(const Context& context, int64_t parts, F&& body) {
  run_parts(
      context, parts,
      [](void* data, int64_t part, int thread) { (*static_cast<std::remove_reference_t<F>*>(data))(part, thread); },
      const_cast<void*>(static_cast<const void*>(&body)));
}

}  // namespace foretoken::cpu::FORETOKEN_ISA
#endif
