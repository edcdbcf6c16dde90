// What the debug information says about code.
#pragma once

#include <string>

namespace foretoken::simt {

// The line of a call that returns to `code`, and the lines it was inlined into: "csrc/cuda/common/reduce.cuh:46, in
// csrc/cuda/softmax.cu:9". Without addr2line or debug information, where in the library it is.
std::string source_line(const void* code);

// Whether two addresses of code are of the same lines: compilers copy code.
bool is_same_code(const void* a, const void* b);

// From the folder csrc on, wherever that stands.
std::string shortened_path(const std::string& path);

// The name of the function that begins at `code`.
std::string function_name(const void* code);

}  // namespace foretoken::simt
