// Which thread runs.
#pragma once

#include "csrc/simt/execution.h"

namespace foretoken::simt {

// Marks lanes of a warp that can run again.
void make_ready(Warp& warp, uint32_t lanes);

// Gives way until the thread is made ready again.
void wait_until_ready();

// Gives way to any thread that can run, if the schedule changes threads where they meet.
void maybe_switch();

// Gives way to the next one that can run; what a loop that waits for other threads must do.
void give_way();

// Runs the threads of launch.blocks until all have exited, or one has failed.
void run_threads(Launch& launch);

// Ends the kernel: the current thread did something wrong.
[[noreturn]] void fail(const std::string& what);

}  // namespace foretoken::simt
