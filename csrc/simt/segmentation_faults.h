// Turns segmentation faults in kernels into reports that end the stream and not the process: accesses to unmapped
// addresses, which the build that does not check accesses would otherwise let through, and threads that run out of
// stack.
#pragma once

namespace foretoken::simt {

// Catches the faults of kernels that the calling thread runs from now on.
void catch_segmentation_faults();

}  // namespace foretoken::simt
