import { check, either, integer, oneOf } from '../check';
import type { TreePlan } from './tree-plan';

/** Share of the first choice that heads are believed to hit before anything was counted. */
const PRIOR_FIRST = 0.6;
/** The same off the likeliest path, where the heads guess for another text than the one of the path. */
const PRIOR_FIRST_ELSEWHERE = 0.3;
/** How likely a rank is believed to be, next to the one before it. */
const PRIOR_DECAY = 0.3;
/** What the prior weighs, in observations. */
const PRIOR_WEIGHT = 4;

/**
 * Whether plans are to be made anew after so many steps. One step changes the statistics too little to pay for it, and the
 * more there are, the less.
 */
export function isTimeToReplan(steps: number): boolean {
  return steps % (steps < 256 ? 32 : 128) === 0;
}

/** Ranks beyond this are never drafted. */
export const MAX_RANK = 7;

const VOCAB_SIZE = either<[number, number]>(integer(1), oneOf(Infinity));

/** What was counted of one rank path, and of those that go on from it. */
interface Counts {
  tried: number;
  accepted: number;
  /** By rank. */
  children: (Counts | undefined)[];
}

const newCounts = (): Counts => ({ tried: 0, accepted: 0, children: [] });

/**
 * How often each rank path is accepted: the path [0, 2] is the node that holds the third choice of the second drafting head
 * under the first choice of the first. Counted per path, because off the likeliest path the heads are far from
 * independent.
 */
export class RankPathStatistics {
  readonly #root = newCounts();

  readonly #maxRank: number;

  /**
   * @param maxDepth depth that trees may reach: the number of drafting heads
   * @param vocabSize how many tokens there are to draft
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
      // Nothing is learned about a node whose parent was not accepted.
      if (!accepted.has(parent)) return;
      own.tried++;
      if (accepted.has(node)) own.accepted++;
    });
  }

  /**
   * Estimated probability that a child of this rank path's last node is accepted once that node is, by the child's rank; empty
   * where nothing is drafted.
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

  /** Estimated probability that the last node of this rank path is accepted once those before it are. */
  conditional(path: readonly number[]): number {
    return this.conditionals(path.slice(0, -1))[path.at(-1)!] ?? 0;
  }

  /** Estimated probability that all nodes of this rank path are accepted; 0 for paths that are never drafted. */
  acceptance(path: readonly number[]): number {
    return path.reduce((joint, _, i) => joint * this.conditional(path.slice(0, i + 1)), 1);
  }
}
