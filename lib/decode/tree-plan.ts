/**
 * The shape of a draft tree. Node 0 is the root, the last committed token; every other node holds one of the tokens that the
 * head of its depth drafted. Plans are immutable.
 */
export interface TreePlan {
  /** `[nodes]`: -1 for the root, otherwise an earlier node. */
  readonly parents: Int32Array;
  /** `[nodes]`: 0 for the root. */
  readonly depths: Int32Array;
  /** `[nodes]`: which of the drafted tokens of its depth a node holds, 0 the likeliest. */
  readonly ranks: Int32Array;
  /** Depth of the deepest node. */
  readonly maxDepth: number;
  /** How many drafted tokens a depth must offer, at least 1. */
  readonly width: number;
}
