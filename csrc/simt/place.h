// Where a thread is: the operation that it called last, and the code that called it.
#pragma once

namespace foretoken::simt {

struct Place {
  const char* operation = nullptr;  // as CUDA C++ or PTX call it; null: none yet
  const void* code = nullptr;
};

}  // namespace foretoken::simt
