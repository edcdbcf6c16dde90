// An access of a kernel to an address where nothing is ends its stream with a report, not the process: the build that
// does not check accesses would else take the tests down with it. So does a thread that runs out of its stack.
#pragma once

namespace foretoken::simt {

// For kernels that the calling thread runs from here on.
void catch_segmentation_faults();

}  // namespace foretoken::simt
