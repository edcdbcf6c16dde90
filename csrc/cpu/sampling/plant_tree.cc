// Fills draft trees with drafted tokens.
#include "csrc/core/tree.h"
#include "csrc/cpu/indices.h"
#include "csrc/cpu/kernels.h"

namespace foretoken::cpu::FORETOKEN_ISA {

void run(const PlantTreeArgs& args, const Context& context) {
  int64_t sequence = 0;
  for (int64_t r = 0; r < args.rows; ++r) {
    while (sequence + 1 < args.sequences && r >= args.row_offsets[sequence + 1]) ++sequence;
    const int32_t depth = args.depths[r], rank = args.ranks[r];
    if (depth < 0 || depth > args.max_depth) {
      return report_index(context, "plantTree", "depths", r, depth, args.max_depth + 1);
    }
    args.positions[r] = args.lengths[sequence] + depth;
    if (depth == 0) {
      args.tokens[r] = args.roots[sequence];
      continue;
    }
    if (rank < 0 || rank >= args.width) return report_index(context, "plantTree", "ranks", r, rank, args.width);
    args.tokens[r] = args.drafts[(sequence * args.max_depth + depth - 1) * args.width + rank];
  }
}

}  // namespace foretoken::cpu::FORETOKEN_ISA
