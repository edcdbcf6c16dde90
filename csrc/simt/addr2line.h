// The program addr2line of the binutils, which knows debug information: one process that answers as long as this one
// lives.
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

  // What is at an offset in the library, and what it is inlined into. Nothing where nothing is known, or the program is
  // not installed.
  std::vector<Frame> frames(uintptr_t offset);

 private:
  bool read_line(std::string& line);

  int pid_ = -1;
  int socket_ = -1;          // its input and output
  FILE* answers_ = nullptr;  // the same
};

}  // namespace foretoken::simt
