import { AcceptanceCounts } from './acceptance-counts';
import type { RatedTree } from './best-first';
import type { DraftTree } from './draft-tree';

/** Estimates how likely the drafts of a tree are to be accepted, by counting how drafts of the same kind fared in the same text. */
export class TreeAcceptance {
  readonly #counts: AcceptanceCounts;
  /** The tree that was rated last, and the kind of each node. */
  #last: { tree: DraftTree; kinds: readonly number[] } | null = null;

  /**
   * @param priors prior probability of each kind
   * @param weight trials that a prior stands for
   */
  constructor(priors: Float64Array, weight: number) {
    this.#counts = new AcceptanceCounts(priors, weight);
  }

  /** Estimates the probability that a draft is accepted if the node above it is. */
  probability(kind: number): number {
    return this.#counts.probability(kind);
  }

  /** @param kinds `[nodes]`: the kind of each node; that of the root has no meaning */
  rate(tree: DraftTree, kinds: readonly number[]): RatedTree {
    this.#last = { tree, kinds };
    return { tree, conditionals: kinds.map((kind) => this.#counts.probability(kind)) };
  }

  /**
   * Counts which drafts of the last tree were right, also those that no step verified.
   * @param tokens tokens that followed the root
   */
  observe(tokens: ArrayLike<number>): void {
    let node = this.#last ? 0 : -1;
    for (let i = 0; node >= 0 && i < tokens.length; i++) node = this.#observeBelow(node, tokens[i]!);
    this.#last = null;
  }

  /** Counts the children of a right draft, and returns the right one; -1 without one. */
  #observeBelow(parent: number, token: number): number {
    const { tree, kinds } = this.#last!;
    let right = -1;
    for (let node = parent + 1; node < kinds.length; node++) {
      if (tree.parents[node] !== parent) continue;
      const isRight = tree.tokens[node] === token;
      this.#counts.observe(kinds[node]!, isRight);
      if (isRight) right = node;
    }
    return right;
  }
}
