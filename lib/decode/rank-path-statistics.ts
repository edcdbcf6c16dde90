import type { TreePlan } from './tree';

/** Share of the first choice that heads are believed to hit before anything was counted, falling with depth. */
const PRIOR_FIRST = 0.6;
/** How much likelier a rank is believed to be than the next one. */
const PRIOR_DECAY = 0.3;
/** What the prior weighs, in observations. */
const PRIOR_WEIGHT = 4;

/** Ranks beyond this are never drafted. */
export const MAX_RANK = 7;

/**
 * How often each rank path is accepted: the path [0, 2] is the node that holds the third choice of the second drafting head
 * under the first choice of the first. Counted per path, because off the likeliest path the heads are far from
 * independent.
 */
export class RankPathStatistics {
  readonly #counts = new Map<string, { tried: number; accepted: number }>();

  /** @param maxDepth depth that trees may reach: the number of drafting heads */
  constructor(readonly maxDepth: number) {}

  /**
   * Counts one verified step.
   * @param path accepted nodes, root first
   */
  observe(tree: TreePlan, path: readonly number[]): void {
    const accepted = new Set(path);
    const names: string[] = [];
    tree.parents.forEach((parent, node) => {
      names.push(parent <= 0 ? `${tree.ranks[node]!}` : `${names[parent]!},${tree.ranks[node]!}`);
      // Nothing is learned about a node whose parent was not accepted.
      if (parent < 0 || !accepted.has(parent)) return;
      const name = names[node]!;
      const count = this.#counts.get(name) ?? { tried: 0, accepted: 0 };
      count.tried++;
      if (accepted.has(node)) count.accepted++;
      this.#counts.set(name, count);
    });
  }

  /** Estimated probability that all nodes of this rank path are accepted; 0 for paths that are never drafted. */
  acceptance(path: readonly number[]): number {
    if (path.length > this.maxDepth) return 0;
    let joint = 1;
    let name = '';
    let onSpine = true;
    for (const rank of path) {
      if (rank > MAX_RANK) return 0;
      name = name === '' ? `${rank}` : `${name},${rank}`;
      // Off the spine the heads guess for another text than the one of the path.
      const prior = (onSpine ? PRIOR_FIRST : PRIOR_FIRST / 2) * PRIOR_DECAY ** rank;
      const { tried, accepted } = this.#counts.get(name) ?? { tried: 0, accepted: 0 };
      joint *= (accepted + PRIOR_WEIGHT * prior) / (tried + PRIOR_WEIGHT);
      onSpine &&= rank === 0;
    }
    return joint;
  }
}
