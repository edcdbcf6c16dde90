#include "csrc/simt/source_lines.h"

#include <dlfcn.h>

#include <cstdint>
#include <cstdio>
#include <map>
#include <mutex>

#include "csrc/simt/addr2line.h"
#include "csrc/simt/library_image.h"

namespace foretoken::simt {

namespace {

std::string hexadecimal(uintptr_t value) {
  char text[32];
  std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(value));
  return text;
}

// Whether a line belongs to the emulator or to a wrapper of an instruction, and so says nothing about the kernel.
bool is_emulators_own(const std::string& line) {
  const auto has = [&](const char* part) { return line.find(part) != std::string::npos; };
  return has("/csrc/cuda/ptx") || (has("/csrc/simt/") && !has("/csrc/simt/tests/"));
}

// Shortens "void foretoken::cuda::(anonymous namespace)::f<int>(float*)" to "f<int>".
std::string bare_name(std::string name) {
  if (!name.empty() && name.back() == ')') {
    size_t at = name.size();
    int depth = 0;
    do {
      --at;
      depth += (name[at] == ')') - (name[at] == '(');
    } while (at > 0 && depth > 0);
    name.resize(at);
  }
  for (const std::string prefix : {"void ", "foretoken::", "cuda::", "simt::tests::", "(anonymous namespace)::"}) {
    if (name.compare(0, prefix.size(), prefix) == 0) name.erase(0, prefix.size());
  }
  return name;
}

// Answers of addr2line, which are kept. One thread at a time asks.
struct Lines {
  std::mutex mutex;
  const std::string library;
  Addr2line addr2line;
  std::map<const void*, std::string> known;

  explicit Lines(std::string file) : library(std::move(file)), addr2line(library) {}
};

std::string library_file() {
  Dl_info info;
  return dladdr(library_image().begin, &info) && info.dli_fname ? info.dli_fname : "";
}

Lines& lines() {
  static auto* const the_lines = new Lines(library_file());  // streams may still run when statics are destroyed
  return *the_lines;
}

std::string place_in_library(const Lines& all, uintptr_t offset) {
  return shortened_path(all.library) + "+" + hexadecimal(offset);
}

std::string look_up(Lines& all, const void* code) {
  if (!library_image().holds(code)) return "an unknown place";
  const uintptr_t offset = library_image().offset(code);
  std::string text;
  // Looks up the byte before, because the address after a call may belong to the next line.
  for (const Addr2line::Frame& frame : all.addr2line.frames(offset - 1)) {
    if (!is_emulators_own(frame.line)) text += (text.empty() ? "" : ", in ") + shortened_path(frame.line);
  }
  return text.empty() ? place_in_library(all, offset) : text;
}

}  // namespace

std::string shortened_path(const std::string& path) {
  if (path.rfind("csrc/", 0) == 0) return path;
  const size_t root = path.rfind("/csrc/");
  if (root != std::string::npos) return path.substr(root + 1);
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? path : path.substr(slash + 1);
}

std::string source_line(const void* code) {
  Lines& all = lines();
  const std::lock_guard lock(all.mutex);
  const auto found = all.known.find(code);
  if (found != all.known.end()) return found->second;
  return all.known[code] = look_up(all, code);
}

bool is_same_code(const void* a, const void* b) { return a == b || source_line(a) == source_line(b); }

std::string function_name(const void* code) {
  Lines& all = lines();
  const std::lock_guard lock(all.mutex);
  const uintptr_t offset = library_image().offset(code);
  const auto frames = all.addr2line.frames(offset);
  return frames.empty() ? place_in_library(all, offset) : bare_name(frames.back().function);
}

}  // namespace foretoken::simt
