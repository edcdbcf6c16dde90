// The place of a thread: the operation that it called last, and the code that called it.
#pragma once

namespace foretoken::simt {

struct Place {
  const char* operation = nullptr;  // its name in CUDA C++ or PTX; null: none yet
  const void* code = nullptr;
};

}  // namespace foretoken::simt
