/**
 * The shape of a draft tree. Node 0 is the root and holds the last committed token; every other node holds one of the tokens
 * that the head of its depth drafted. Plans are immutable.
 */
export interface TreePlan {
  /** `[nodes]`: an earlier node; -1 for the root. */
  readonly parents: Int32Array;
  /** `[nodes]`: 0 for the root. */
  readonly depths: Int32Array;
  /** `[nodes]`: rank of a node's token among the drafted tokens of its depth; 0 is the likeliest. */
  readonly ranks: Int32Array;
  /** Depth of the deepest node. */
  readonly maxDepth: number;
  /** Drafted tokens needed at each depth, at least 1. */
  readonly width: number;
}
