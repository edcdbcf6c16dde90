// Reads the lines and names of code from the debug information.
#pragma once

#include <string>

namespace foretoken::simt {

// Returns the line of a call that returns to `code`, and the lines it was inlined into:
// "csrc/cuda/common/reduce.cuh:46, in csrc/cuda/softmax.cu:9". Without addr2line or debug information, returns the
// offset in the library.
std::string source_line(const void* code);

// Whether two addresses of code belong to the same lines. They may differ, because compilers copy code.
bool is_same_code(const void* a, const void* b);

// Returns the part of the path that begins with the folder csrc.
std::string shortened_path(const std::string& path);

// Returns the name of the function that begins at `code`.
std::string function_name(const void* code);

}  // namespace foretoken::simt
