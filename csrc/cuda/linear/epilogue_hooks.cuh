// The optional members of an epilogue (gemm.cuh). An epilogue lists those it has, and every loop checks the list: a
// misspelt hook, a hook that is not listed, and a listed hook that the loop does not call do not compile.
#pragma once

#include "csrc/cuda/common/reduce.cuh"

namespace foretoken::cuda {

enum class Hook {
  kBegin,       // begin(fragment)
  kEndOfBlock,  // end_of_block<kThreads>()
  kPrepare,     // prepare(fragment), whose result is the second argument of operator()
  kWarpMemory,  // struct WarpMemory, of which each warp's is the second argument of operator()
  kEnd,         // end()
  kRollStrips,  // no member: the strips of a tile run through one copy of the code
};

template <Hook... kHooks>
struct HookList {
  static constexpr bool has([[maybe_unused]] Hook hook) { return ((hook == kHooks) || ...); }

  template <typename Others>
  static constexpr bool is_within = (Others::has(kHooks) && ...);
};

// `Supported` lists the hooks that a loop calls or can do without. True, or does not compile.
template <typename Epilogue, typename Fragment, typename Supported>
constexpr bool check_hooks() {
  using Hooks = typename Epilogue::Hooks;
  static_assert(
      Hooks::has(Hook::kBegin) == requires(const Epilogue& e, Fragment& fragment) { e.begin(fragment); },
      "Hooks must list kBegin if, and only if, the epilogue has begin(fragment)");
  static_assert(
      Hooks::has(Hook::kEndOfBlock) == requires(const Epilogue& e) { e.template end_of_block<kWarp>(); },
      "Hooks must list kEndOfBlock if, and only if, the epilogue has end_of_block<kThreads>()");
  static_assert(
      Hooks::has(Hook::kPrepare) == requires(const Epilogue& e, const Fragment& fragment) { e.prepare(fragment); },
      "Hooks must list kPrepare if, and only if, the epilogue has prepare(fragment)");
  static_assert(
      Hooks::has(Hook::kWarpMemory) == requires { typename Epilogue::WarpMemory; },
      "Hooks must list kWarpMemory if, and only if, the epilogue has WarpMemory");
  static_assert(
      Hooks::has(Hook::kEnd) == requires(const Epilogue& e) { e.end(); },
      "Hooks must list kEnd if, and only if, the epilogue has end()");
  static_assert(!(Hooks::has(Hook::kPrepare) && Hooks::has(Hook::kWarpMemory)),
                "kPrepare and kWarpMemory both claim the second argument of operator()");
  static_assert(Hooks::template is_within<Supported>, "the epilogue lists a hook that this loop does not call");
  return true;
}

}  // namespace foretoken::cuda
