#include "csrc/simt/collective.h"

#include "csrc/simt/scheduler.h"
#include "csrc/simt/source_lines.h"

namespace foretoken::simt {

namespace {

std::string hexadecimal(uint32_t mask) {
  char text[16];
  std::snprintf(text, sizeof text, "0x%08x", mask);
  return text;
}

// Operations that all lanes of a warp must come to by the same instruction.
bool is_aligned(CollectiveKind kind) { return kind >= CollectiveKind::kLdmatrix; }

Collective& join(Warp& warp, uint32_t mask, CollectiveKind kind, const Place& place) {
  for (uint32_t i = 0; i < warp.collective_count; ++i) {
    Collective& other = warp.collectives[i];
    if (!(other.mask & mask)) continue;
    const std::string there = std::string(other.place.operation) + " at " + source_line(other.place.code);
    if (other.mask != mask) {
      fail(std::string(place.operation) + ": the mask " + hexadecimal(mask) + " overlaps " + hexadecimal(other.mask) +
           " of " + there);
    }
    if (other.kind != static_cast<int>(kind)) {
      fail(std::string(place.operation) + ": other lanes of the mask are in " + there);
    }
    if (is_aligned(kind) && other.place.code != place.code &&
        source_line(other.place.code) != source_line(place.code)) {
      fail(std::string(place.operation) + ": all lanes must execute the same instruction, but others are in " + there);
    }
    return other;
  }
  Collective& collective = warp.collectives[warp.collective_count++];
  collective = {mask, 0, static_cast<int>(kind), place};
  return collective;
}

}  // namespace

void meet(uint32_t mask, CollectiveKind kind, const char* operation, const void* code, void* operand,
          ExecuteCollective execute) {
  Thread& thread = current_thread();
  Warp& warp = *thread.warp;
  const uint32_t lane = 1u << thread.lane;
  thread.place = {operation, code};
  const auto refuse = [&](const char* problem) {
    fail(std::string(operation) + ": the mask " + hexadecimal(mask) + problem);
  };
  if (!(mask & lane)) refuse(" lacks the lane that calls");
  if (mask == kAllLanes) mask = warp.lanes;  // the last warp of a block may have fewer
  if (mask & ~warp.lanes) refuse(" names lanes that do not exist");
  if (mask & warp.exited) refuse(" names lanes that have exited");
  warp.operands[thread.lane] = operand;
  Collective& collective = join(warp, mask, kind, thread.place);
  collective.arrived |= lane;
  if (collective.arrived != mask) return wait_until_ready();
  collective = warp.collectives[--warp.collective_count];
  execute(warp, mask);
  make_ready(warp, mask);
  maybe_switch();
}

}  // namespace foretoken::simt
