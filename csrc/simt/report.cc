#include "csrc/simt/report.h"

#include <cstdio>
#include <map>

#include "csrc/simt/source_lines.h"

namespace foretoken::simt {

std::string triple(const uint3& at) {
  char text[64];
  std::snprintf(text, sizeof text, "(%u, %u, %u)", at.x, at.y, at.z);
  return text;
}

std::string byte_range(long first, size_t count) {
  if (count == 1) return "byte " + std::to_string(first);
  return "bytes " + std::to_string(first) + " … " + std::to_string(first + static_cast<long>(count) - 1);
}

std::string name_of(const Thread& thread) {
  return "block " + triple(thread.block->index) + ", thread " + triple(thread.index);
}

std::string name_of(const Place& place) {
  if (!place.operation) return "no operation yet";
  return std::string(place.operation) + " at " + source_line(place.code);
}

namespace {

// "; 12 have exited\n  4 wait in __syncthreads at …"
std::string describe_threads(const Launch& launch) {
  size_t exited = 0;
  std::map<std::pair<const char*, const void*>, size_t> places;
  for (const Block* block : launch.blocks) {
    for (const Thread& thread : block->threads) {
      if (thread.exited) ++exited;
      else ++places[{thread.place.operation, thread.place.code}];
    }
  }
  // Adds up copies of the same code, because they have the same name in the report.
  std::map<std::string, size_t> waiting;
  for (const auto& [place, count] : places) waiting[name_of(Place{place.first, place.second})] += count;
  std::string text = "; " + std::to_string(exited) + " have exited";
  for (const auto& [where, count] : waiting) text += "\n  " + std::to_string(count) + " wait in " + where;
  return text;
}

}  // namespace

std::string describe_failure(const Launch& launch, const std::string& what) {
  std::string text = function_name(launch.call->kernel) + ": " + what;
  if (const Thread* const thread = launch.current) {
    text += "\n  " + name_of(*thread) + "; last operation: " + name_of(thread->place);
  }
  return text;
}

std::string describe_deadlock(const Launch& launch) { return "deadlock: no thread can run" + describe_threads(launch); }

std::string describe_livelock(const Launch& launch) {
  return "livelock: threads wait in loops, and no other makes progress. Blocks that wait for each other must run at " +
         ("once; residentBlocks is " + std::to_string(launch.options.resident_blocks)) + describe_threads(launch);
}

}  // namespace foretoken::simt
