// The checked build compiles kernels with -fsanitize=thread,alignment, but links no sanitizer: what such code calls at
// each access to memory is the emulator's own.
#pragma once

namespace foretoken::simt {

// Whether the kernels of this library are compiled so.
bool is_checked_build();

}  // namespace foretoken::simt
