import { AcceptanceCounts } from './acceptance-counts';
import type { RatedHeads } from './best-first';
import type { HeadDrafts } from './draft-tree';

/** Upper limits of weights that count alike. */
const LIMITS = [0.01, 0.03, 0.07, 0.14, 0.25, 0.4, 0.55, 0.7, 0.82, 0.91, 0.97, 0.99];
const BUCKETS = LIMITS.length + 1;
/** Ranks that are counted apart; later ones count as the last. */
const RANKS = 4;
/** Observations that a prior stands for. */
const PRIOR_WEIGHT = 4;

/** Buckets of weights by 1024ths. */
const BUCKET = Uint8Array.from({ length: 1025 }, (_, i) => {
  const bucket = LIMITS.findIndex((limit) => i < 1024 * limit);
  return bucket < 0 ? LIMITS.length : bucket;
});

/**
 * Estimates how likely drafts of heads are to be accepted. Counts how often they were, by depth, rank, the weight that the head gave
 * them, and whether they were below the likeliest path: below other paths the heads did not see the tokens before them.
 */
export class HeadAcceptance {
  readonly #counts: AcceptanceCounts;

  /** @param maxDepth number of heads that draft */
  constructor(maxDepth: number) {
    const priors = new Float64Array(maxDepth * RANKS * 2 * BUCKETS);
    // A weight is a probability itself, if the head is right about how sure it can be.
    for (let kind = 0; kind < priors.length; kind++) {
      const bucket = kind % BUCKETS;
      priors[kind] = ((LIMITS[bucket - 1] ?? 0) + (LIMITS[bucket] ?? 1)) / 2;
    }
    this.#counts = new AcceptanceCounts(priors, PRIOR_WEIGHT);
  }

  rate(drafts: HeadDrafts): RatedHeads {
    const onPath: number[] = [];
    const offPath: number[] = [];
    for (let row = 0; row < drafts.depth; row++) {
      for (let rank = 0; rank < drafts.width; rank++) {
        onPath.push(this.#counts.probability(kindOf(drafts, row, rank, 1)));
        offPath.push(this.#counts.probability(kindOf(drafts, row, rank, 0)));
      }
    }
    return { drafts, onPath, offPath };
  }

  /**
   * Counts which drafts were right, also those that no step verified.
   * @param tokens tokens that followed the root
   */
  observe(drafts: HeadDrafts, tokens: ArrayLike<number>): void {
    const { depth, width } = drafts;
    let isOnPath = 1;
    for (let row = 0; row < Math.min(depth, tokens.length); row++) {
      for (let rank = 0; rank < width; rank++) {
        const isRight = drafts.tokens[row * width + rank] === tokens[row];
        this.#counts.observe(kindOf(drafts, row, rank, isOnPath), isRight);
      }
      if (drafts.tokens[row * width] !== tokens[row]) isOnPath = 0;
    }
  }
}

function kindOf({ width, weights }: HeadDrafts, row: number, rank: number, isOnPath: number): number {
  // A weight that is not a number counts as 0.
  const bucket = BUCKET[Math.floor(1024 * weights[row * width + rank]!)] ?? 0;
  return ((row * RANKS + Math.min(rank, RANKS - 1)) * 2 + isOnPath) * BUCKETS + bucket;
}
