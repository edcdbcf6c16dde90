import type { Planner, StepOutcome } from './planner';
import { RankPathStatistics, REPLAN_STEPS } from './rank-path-statistics';
import { best, chain, expectedTokensBySize, type TreePlan } from './tree';

/** Sizes that are tried: draft nodes without the root. */
const SIZES = [0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 63];

/** Every so many steps one size is measured again: machines and contexts change. */
const EXPLORE_STEPS = 64;

/** Measurements of one size before its time is believed. */
const FIRST_LOOKS = 3;

/** Weight of a new measurement in the running one. */
const SMOOTHING = 0.1;

/**
 * Takes the tree size that gives the most expected tokens per second: the acceptance as counted so far over the step time
 * as measured so far, on this machine, for this model. Plain decoding is one of the sizes, so guessing ahead is dropped
 * where it does not pay.
 */
export class AdaptivePlanner implements Planner {
  readonly #statistics: RankPathStatistics;
  readonly #sizes: readonly number[];
  readonly #times = new Map<number, { seconds: number; looks: number }>();
  #steps = 0;
  /** What was worked out from the statistics; good for a few steps. */
  readonly #trees = new Map<number, TreePlan>();
  #choice: number | null = null;

  constructor(
    maxNodes: number,
    readonly maxDepth: number,
  ) {
    this.#statistics = new RankPathStatistics(maxDepth);
    // Shallow trees have an end.
    const largest = best(maxNodes, this.#statistics).parents.length - 1;
    this.#sizes = SIZES.filter((size) => size <= largest);
  }

  next(): TreePlan {
    if (this.#steps % REPLAN_STEPS === 0) {
      this.#trees.clear();
      this.#choice = null;
    }
    return this.#tree(this.#unseen() ?? this.#again() ?? (this.#choice ??= this.#fastest()));
  }

  observe({ plan, path, seconds }: StepOutcome): void {
    this.#steps++;
    this.#statistics.observe(plan, path);
    const size = plan.parents.length - 1;
    const known = this.#times.get(size);
    if (!known) this.#times.set(size, { seconds, looks: 1 });
    // While a size is new its fastest step counts: the first ones warm up what they use.
    else if (known.looks < FIRST_LOOKS) {
      this.#times.set(size, { seconds: Math.min(known.seconds, seconds), looks: known.looks + 1 });
    } else {
      // A step that the system interrupted says nothing about the size.
      const sane = Math.min(seconds, 2 * known.seconds);
      known.seconds += SMOOTHING * (sane - known.seconds);
    }
  }

  #tree(size: number): TreePlan {
    const tree = this.#trees.get(size) ?? (size === 0 ? chain(0) : best(size, this.#statistics));
    this.#trees.set(size, tree);
    return tree;
  }

  #unseen(): number | undefined {
    return this.#sizes.find((size) => (this.#times.get(size)?.looks ?? 0) < FIRST_LOOKS);
  }

  #again(): number | undefined {
    if (this.#steps % EXPLORE_STEPS !== 0) return undefined;
    return this.#sizes[(this.#steps / EXPLORE_STEPS) % this.#sizes.length];
  }

  #fastest(): number {
    // The best tree of every size is the beginning of the largest one.
    const expected = expectedTokensBySize(this.#tree(this.#sizes.at(-1)!), this.#statistics);
    const rate = (size: number): number => expected[size]! / this.#times.get(size)!.seconds;
    return this.#sizes.reduce((a, b) => (rate(b) > rate(a) ? b : a));
  }
}
