// simt_cases [options [name…]] runs cases under these options of the emulator, each on its own stream, and prints JSON:
// {"name": {"report": "…", "wrong": "…"}, …}. `report` is the emulator's report, `wrong` says which results are wrong.
#include <cstdio>
#include <set>

#include "csrc/simt/options.h"
#include "csrc/simt/tests/cases.h"

namespace foretoken::simt::tests {

std::vector<Case>& cases() {
  static std::vector<Case> all;
  return all;
}

namespace {

std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char c : text) {
    char escaped[8];
    if (c == '"' || c == '\\') result += {'\\', c};
    else if (static_cast<unsigned char>(c) < ' ')
      std::snprintf(escaped, sizeof escaped, "\\u%04x", c), result += escaped;
    else result += c;
  }
  return result + "\"";
}

void run(const Case& one) {
  std::string report, wrong;
  Bench bench;
  try {
    one.run(bench);
    bench.finish();
  } catch (const cuda::CudaFailure& failure) {
    report = cudaGetErrorString(failure.code);
  }
  std::printf("%s: {\"report\": %s, \"wrong\": %s}", quoted(one.name).c_str(), quoted(report).c_str(),
              quoted(bench.wrong()).c_str());
}

}  // namespace

}  // namespace foretoken::simt::tests

int main(int count, char** arguments) {
  using namespace foretoken::simt;
  try {
    configure(parse_options(count > 1 ? arguments[1] : ""));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  const std::set<std::string> wanted(arguments + (count > 2 ? 2 : count), arguments + count);
  const char* separator = "{\n";
  for (const tests::Case& one : tests::cases()) {
    if (!wanted.empty() && !wanted.count(one.name)) continue;
    std::printf("%s", separator);
    tests::run(one);
    separator = ",\n";
  }
  std::printf("\n}\n");
  return 0;
}
