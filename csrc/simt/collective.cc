#include "csrc/simt/collective.h"

#include "csrc/simt/report.h"
#include "csrc/simt/scheduler.h"
#include "csrc/simt/source_lines.h"

namespace foretoken::simt {

namespace {

[[noreturn]] void refuse(const std::string& problem) { fail(current_thread().place.operation + (": " + problem)); }

bool must_be_same_instruction(CollectiveKind kind) { return kind >= CollectiveKind::kLdmatrix; }

// Returns the operation in progress of the lanes of this mask, or begins a new one.
Collective& join(Warp& warp, uint32_t mask, CollectiveKind kind, const Place& place) {
  for (uint32_t i = 0; i < warp.collective_count; ++i) {
    Collective& other = warp.collectives[i];
    if (!(other.mask & mask)) continue;
    if (other.mask != mask) {
      refuse("the mask " + mask_text(mask) + " overlaps " + mask_text(other.mask) + " of " + name_of(other.place));
    }
    if (other.kind != kind) refuse("other lanes of the mask are in " + name_of(other.place));
    if (must_be_same_instruction(kind) && !is_same_code(other.place.code, place.code)) {
      refuse("all lanes must execute the same instruction, but others are in " + name_of(other.place));
    }
    return other;
  }
  Collective& collective = warp.collectives[warp.collective_count++];
  collective = {mask, 0, kind, place};
  return collective;
}

}  // namespace

void meet(uint32_t mask, CollectiveKind kind, void* operand, ExecuteCollective execute) {
  Thread& thread = current_thread();
  Warp& warp = *thread.warp;
  const uint32_t lane = 1u << thread.lane;
  if (!(mask & lane)) refuse("the mask " + mask_text(mask) + " lacks the lane that calls");
  if (mask == kAllLanes) mask = warp.lanes;  // the last warp of a block may have fewer
  if (mask & ~warp.lanes) refuse("the mask " + mask_text(mask) + " names lanes that do not exist");
  if (mask & warp.exited) refuse("the mask " + mask_text(mask) + " names lanes that have exited");
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
