import { check, either, integer, oneOf } from '../check';
import type { TreePlan } from './tree-plan';

/** Prior probability that a head's first choice is accepted. */
const PRIOR_FIRST = 0.6;
/** The same off the likeliest path, where the heads have not seen the tokens of the path. */
const PRIOR_FIRST_ELSEWHERE = 0.3;
/** Prior probability of a rank relative to the rank before it. */
const PRIOR_DECAY = 0.3;
/** Weight of the prior, in observations. */
const PRIOR_WEIGHT = 4;

/** Ranks beyond this are never drafted. */
export const MAX_RANK = 7;

const VOCAB_SIZE = either<[number, number]>(integer(1), oneOf(Infinity));

/** Counts of one rank path and of the paths that continue it. */
interface Counts {
  tried: number;
  accepted: number;
  /** Counts of the next rank, by rank. */
  children: (Counts | undefined)[];
}

const newCounts = (): Counts => ({ tried: 0, accepted: 0, children: [] });

/**
 * Counts how often each rank path is accepted. The path [0, 2] is the node with the third choice of the second drafting head
 * under the first choice of the first. Counts are kept by path, because off the likeliest path the heads are far from
 * independent.
 */
export class RankPathStatistics {
  readonly #root = newCounts();

  readonly #maxRank: number;

  /**
   * @param maxDepth depth of the deepest tree: the number of drafting heads
   * @param vocabSize number of different tokens
   */
  constructor(
    readonly maxDepth: number,
    vocabSize = Infinity,
  ) {
    check('RankPathStatistics: maxDepth', maxDepth, integer(0));
    check('RankPathStatistics: vocabSize', vocabSize, VOCAB_SIZE);
    this.#maxRank = Math.min(MAX_RANK, vocabSize - 1);
  }

  /**
   * Counts one verified step.
   * @param path accepted nodes, root first
   */
  observe(tree: TreePlan, path: readonly number[]): void {
    const accepted = new Set(path);
    const counts = [this.#root];
    tree.parents.forEach((parent, node) => {
      if (parent < 0) return;
      const own = (counts[parent]!.children[tree.ranks[node]!] ??= newCounts());
      counts[node] = own;
      // A node whose parent was rejected teaches nothing.
      if (!accepted.has(parent)) return;
      own.tried++;
      if (accepted.has(node)) own.accepted++;
    });
  }

  /**
   * Estimates, by rank, the probability that a child of this rank path's last node is accepted if that node is. Empty if no
   * child is drafted.
   */
  conditionals(path: readonly number[]): number[] {
    if (path.length >= this.maxDepth || path.some((rank) => rank > this.#maxRank)) return [];
    let counts: Counts | undefined = this.#root;
    for (const rank of path) counts = counts?.children[rank];
    const first = path.every((rank) => rank === 0) ? PRIOR_FIRST : PRIOR_FIRST_ELSEWHERE;
    const conditionals: number[] = [];
    let prior = first * PRIOR_WEIGHT;
    for (let rank = 0; rank <= this.#maxRank; rank++, prior *= PRIOR_DECAY) {
      const own = counts?.children[rank];
      conditionals.push(own ? (own.accepted + prior) / (own.tried + PRIOR_WEIGHT) : prior / PRIOR_WEIGHT);
    }
    return conditionals;
  }

  /** Estimates the probability that the last node of this rank path is accepted if all nodes before it are. */
  conditional(path: readonly number[]): number {
    return this.conditionals(path.slice(0, -1))[path.at(-1)!] ?? 0;
  }

  /** Estimates the probability that all nodes of this rank path are accepted; 0 for paths that are never drafted. */
  acceptance(path: readonly number[]): number {
    return path.reduce((joint, _, i) => joint * this.conditional(path.slice(0, i + 1)), 1);
  }
}
