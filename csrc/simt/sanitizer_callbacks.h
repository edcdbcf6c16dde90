// The checked build compiles kernels with -fsanitize=thread,alignment, but links no sanitizer: the functions that such
// code calls at each access to memory are the emulator's.
#pragma once

namespace foretoken::simt {

// Whether this library is the checked build.
bool is_checked_build();

}  // namespace foretoken::simt
