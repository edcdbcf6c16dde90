// Decides which thread runs.
#pragma once

#include "csrc/simt/launch.h"

namespace foretoken::simt {

// Marks lanes of a warp as ready to run.
void make_ready(Warp& warp, uint32_t lanes);

// Runs other threads until another makes the current one ready.
void wait_until_ready();

// Switches to any ready thread, if the schedule switches threads where they synchronise.
void maybe_switch();

// Switches to the next ready thread. A loop that waits for other threads must call it.
void give_way();

// Runs the threads of launch.blocks until all have exited, or one has failed.
void run_threads(Launch& launch);

// Ends the kernel with a report of what the current thread did wrong.
[[noreturn]] void fail(const std::string& what);

}  // namespace foretoken::simt
