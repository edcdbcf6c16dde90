#include "csrc/simt/source_lines.h"

#include <dlfcn.h>

#include <cstdint>
#include <cstdio>
#include <map>
#include <mutex>
#include <vector>

namespace foretoken::simt {

namespace {

struct Frame {
  std::string function, line;
};

std::string hexadecimal(uintptr_t value) {
  char text[32];
  std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(value));
  return text;
}

// A name for a shell, in quotes.
std::string quoted(const std::string& text) {
  std::string result = "'";
  for (const char c : text) result += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return result + "'";
}

// From the folder csrc on, wherever that stands.
std::string shortened(const std::string& line) {
  const size_t root = line.rfind("/csrc/");
  if (root != std::string::npos) return line.substr(root + 1);
  const size_t slash = line.rfind('/');
  return slash == std::string::npos ? line : line.substr(slash + 1);
}

// Inline functions of the emulator say nothing about the kernel that calls them.
bool is_emulators_own(const std::string& line) {
  return line.find("/csrc/simt/") != std::string::npos && line.find("/csrc/simt/tests/") == std::string::npos;
}

bool read_line(FILE* pipe, std::string& line) {
  line.clear();
  int c;
  while ((c = std::fgetc(pipe)) != EOF && c != '\n') line += static_cast<char>(c);
  return c != EOF || !line.empty();
}

// The frames at an address, the innermost first; none where nothing is known.
std::vector<Frame> frames_at(const std::string& library, uintptr_t offset) {
  const std::string command = "addr2line -i -f -C -e " + quoted(library) + " " + hexadecimal(offset) + " 2>/dev/null";
  std::vector<Frame> frames;
  FILE* const pipe = popen(command.c_str(), "r");
  if (!pipe) return frames;
  Frame frame;
  while (read_line(pipe, frame.function) && read_line(pipe, frame.line)) {
    if (frame.line.rfind("??", 0) == 0 || is_emulators_own(frame.line)) continue;
    frame.line = frame.line.substr(0, frame.line.find(" (discriminator"));
    frames.push_back(frame);
  }
  pclose(pipe);
  return frames;
}

// The library that holds `code`, and where in it.
bool locate(const void* code, std::string& library, uintptr_t& offset) {
  Dl_info info;
  if (!code || !dladdr(code, &info) || !info.dli_fname) return false;
  library = info.dli_fname;
  offset = reinterpret_cast<uintptr_t>(code) - reinterpret_cast<uintptr_t>(info.dli_fbase);
  return true;
}

std::string look_up_line(const void* code) {
  std::string library;
  uintptr_t offset;
  if (!locate(code, library, offset)) return "an unknown place";
  std::string text;
  // The address after a call may belong to the next line already.
  for (const Frame& frame : frames_at(library, offset - 1)) {
    text += (text.empty() ? "" : ", in ") + shortened(frame.line);
  }
  return text.empty() ? shortened(library) + "+" + hexadecimal(offset) : text;
}

}  // namespace

std::string source_line(const void* code) {
  static std::mutex mutex;
  static std::map<const void*, std::string> known;
  const std::lock_guard lock(mutex);
  const auto found = known.find(code);
  if (found != known.end()) return found->second;
  return known[code] = look_up_line(code);
}

std::string function_name(const void* code) {
  std::string library;
  uintptr_t offset;
  if (!locate(code, library, offset)) return "a kernel";
  const std::vector<Frame> frames = frames_at(library, offset);
  if (frames.empty()) return shortened(library) + "+" + hexadecimal(offset);
  const std::string& name = frames.back().function;
  return name.substr(0, name.find('('));
}

}  // namespace foretoken::simt
