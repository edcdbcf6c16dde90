// Asks addr2line of the binutils, which reads debug information, in one process that lives as long as this one.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

namespace foretoken::simt {

class Addr2line {
 public:
  struct Frame {
    std::string function, line;
  };

  explicit Addr2line(const std::string& library);
  ~Addr2line();
  Addr2line(const Addr2line&) = delete;
  Addr2line& operator=(const Addr2line&) = delete;

  // Returns the function and line at an offset in the library, and those that it is inlined into; nothing if the debug
  // information has none, or addr2line is not installed.
  std::vector<Frame> frames(uintptr_t offset);

 private:
  bool read_line(std::string& line);

  int pid_ = -1;
  int socket_ = -1;          // the input and output of addr2line
  FILE* answers_ = nullptr;  // reads from the socket
};

}  // namespace foretoken::simt
