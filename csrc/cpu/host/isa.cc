#include "csrc/cpu/host/isa.h"

#include <fstream>

#ifdef __aarch64__
#include <sys/auxv.h>
#endif

namespace foretoken::cpu {

#define FORETOKEN_DECLARE_LEVEL(level) \
  namespace level {                    \
  const KernelTable& kernel_table();   \
  }
FORETOKEN_DECLARE_LEVEL(baseline)
#ifdef __x86_64__
FORETOKEN_DECLARE_LEVEL(avx2)
FORETOKEN_DECLARE_LEVEL(avx2vnni)
FORETOKEN_DECLARE_LEVEL(avx512)
FORETOKEN_DECLARE_LEVEL(avx512vnni)
FORETOKEN_DECLARE_LEVEL(avx512bf16)
#elif defined(__aarch64__)
FORETOKEN_DECLARE_LEVEL(dotprod)
#endif
#undef FORETOKEN_DECLARE_LEVEL

const std::vector<const KernelTable*>& usable_isa_levels() {
  static const std::vector<const KernelTable*> levels = [] {
    std::vector<const KernelTable*> found;
#ifdef __x86_64__
    __builtin_cpu_init();
    const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const bool has_avx512 = has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                            __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                            __builtin_cpu_supports("avx512cd");
    const bool has_avx512vnni = has_avx512 && __builtin_cpu_supports("avx512vnni");
    if (has_avx512vnni && __builtin_cpu_supports("avx512bf16")) found.push_back(&avx512bf16::kernel_table());
    if (has_avx512vnni) found.push_back(&avx512vnni::kernel_table());
    if (has_avx512) found.push_back(&avx512::kernel_table());
    if (has_avx2 && __builtin_cpu_supports("avxvnni")) found.push_back(&avx2vnni::kernel_table());
    if (has_avx2) found.push_back(&avx2::kernel_table());
#elif defined(__aarch64__)
    if (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) found.push_back(&dotprod::kernel_table());
#endif
    found.push_back(&baseline::kernel_table());
    return found;
  }();
  return levels;
}

std::string processor_name() {
  std::ifstream cpuinfo("/proc/cpuinfo");
  for (std::string line; std::getline(cpuinfo, line);) {
    if (line.rfind("model name", 0) == 0) return line.substr(line.find(':') + 2);
  }
  return "unknown processor";
}

}  // namespace foretoken::cpu
