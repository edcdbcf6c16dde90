#include "csrc/cpu/host/memory_size.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>

namespace foretoken::cpu {

namespace {

constexpr int64_t kAbsent = -1;

// Reads a file that holds one number, or kAbsent; cgroup v2 writes "max" instead of a number for no limit.
int64_t number_in(const std::string& path) {
  std::ifstream file(path);
  int64_t number;
  return file >> number ? number : kAbsent;
}

// Finds the number after a name, in a file with a name and a number per line; kAbsent if the name is missing.
int64_t number_behind(const std::string& path, const std::string& name) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string first;
    int64_t number;
    if (words >> first >> number && first == name) return number;
  }
  return kAbsent;
}

// The files in which each version of cgroup keeps the same numbers.
struct CgroupFiles {
  const char *folder, *limit, *used, *cache;  // `cache`: a name in memory.stat
};
constexpr CgroupFiles kVersion1 = {"/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
                                   "total_inactive_file"};
constexpr CgroupFiles kVersion2 = {"/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"};

void bound_by(const CgroupFiles& files, const std::string& folder, MemorySize* size) {
  const int64_t limit = number_in(folder + "/" + files.limit);
  if (limit < 0) return;
  const int64_t used = number_in(folder + "/" + files.used),
                cache = number_behind(folder + "/memory.stat", files.cache);
  size->all = std::min(size->all, limit);
  size->free = std::min(size->free, limit - std::max<int64_t>(0, used - std::max<int64_t>(0, cache)));
}

// Applies the limits of a group and of all groups around it. In a container, the path may be that of the host, whose
// folders do not exist there; then only the outermost folder, which is the container's own, has limits.
void bound_by_groups(const CgroupFiles& files, const std::string& root, std::string group, MemorySize* size) {
  while (true) {
    while (!group.empty() && group.back() == '/') group.pop_back();
    bound_by(files, root + files.folder + group, size);
    if (group.empty()) return;
    group.resize(group.rfind('/'));
  }
}

}  // namespace

MemorySize memory_size(const std::string& root) {
  const int64_t all = static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGE_SIZE);
  const std::string meminfo = root + "/proc/meminfo";
  const auto kibibytes = [&](const char* name, int64_t otherwise) {
    const int64_t found = number_behind(meminfo, name);
    return found < 0 ? otherwise : found * 1024;
  };
  MemorySize size{kibibytes("MemTotal:", all), 0};
  size.free = kibibytes("MemAvailable:", size.all);
  // Lines have the form number:controllers:group; version 2 has number 0 and no controllers.
  std::ifstream groups(root + "/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const size_t controllers = line.find(':') + 1, group = line.find(":/", controllers) + 1;
    if (controllers == 0 || group == 0) continue;
    const std::string names = "," + line.substr(controllers, group - 1 - controllers) + ",";
    if (names == ",,") bound_by_groups(kVersion2, root, line.substr(group), &size);
    else if (names.find(",memory,") != std::string::npos) bound_by_groups(kVersion1, root, line.substr(group), &size);
  }
  size.free = std::clamp<int64_t>(size.free, 0, size.all);
  return size;
}

}  // namespace foretoken::cpu
