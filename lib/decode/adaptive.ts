import type { Planner, StepOutcome } from './planner';
import { isTimeToReplan, RankPathStatistics } from './rank-path-statistics';
import { StepTimes } from './step-times';
import { beginning, best, expectedTokensBySize, type TreePlan } from './tree';

/** Sizes that are tried: draft nodes without the root. */
const SIZES = [0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 63];

/**
 * Every so many steps, at the least, one size is measured again: machines and contexts change. It takes two steps, the first
 * of which often has to be prepared, which takes as long as ten steps of a small model.
 */
const EXPLORE_STEPS = 128;
const STEPS_OF_A_LOOK = 2;
/** What that may take of the time. */
const EXPLORE_SHARE = 0.01;

/** Measurements of one size before its time is believed. */
const FIRST_LOOKS = 3;

/**
 * Sizes whose speeds differ by less look alike to these measurements. Of those the smallest is taken: larger trees more often
 * take longer in use than where they were tried.
 */
const ALIKE = 1.03;

/**
 * Takes the tree size that gives the most expected tokens per second: the acceptance as counted so far over the step time
 * as measured so far, on this machine, for this model. Plain decoding is one of the sizes, so guessing ahead is dropped
 * where it does not pay.
 */
export class AdaptivePlanner implements Planner {
  readonly #statistics: RankPathStatistics;
  readonly #sizes: readonly number[];
  /** Of the device alone: what comes to it costs the same for every size. */
  readonly #times = new StepTimes();
  /** What comes to it, as one size. */
  readonly #overhead = new StepTimes();
  #steps = 0;
  #allSeen = false;
  /** Steps that the present look at a size still has. */
  #looking = 0;
  /** Which of the sizes it is at; they take turns. */
  #turn = 0;
  #lastLook = 0;
  /** Seconds that looks may take before they have taken their share. */
  #allowance = 0;
  /** What was worked out from the statistics, by size; good for a few steps. */
  readonly #trees = new Map<number, TreePlan>();
  #largest: TreePlan;
  /** The size in use; looked at again when the trees are. */
  #choice = 0;
  #isCurrent = false;

  constructor(
    maxNodes: number,
    readonly maxDepth: number,
    vocabSize: number,
  ) {
    this.#statistics = new RankPathStatistics(maxDepth, vocabSize);
    // Shallow trees have an end.
    this.#largest = best(maxNodes, this.#statistics);
    const largest = this.#largest.parents.length - 1;
    this.#sizes = SIZES.filter((size) => size <= largest);
  }

  next(): TreePlan {
    if (isTimeToReplan(this.#steps)) {
      this.#trees.clear();
      this.#largest = best(this.#sizes.at(-1)!, this.#statistics);
      this.#isCurrent = false;
    }
    return this.#tree(this.#unseen() ?? this.#again() ?? this.#chosen());
  }

  observe({ plan, path, seconds, deviceSeconds, isFirst }: StepOutcome): void {
    this.#steps++;
    if (this.#looking > 0) {
      this.#looking--;
      this.#allowance -= seconds;
    } else {
      this.#allowance += EXPLORE_SHARE * seconds;
    }
    this.#statistics.observe(plan, path);
    if (isFirst) return;
    this.#times.observe(plan.parents.length - 1, deviceSeconds);
    this.#overhead.observe(0, seconds - deviceSeconds);
  }

  #tree(size: number): TreePlan {
    const tree = this.#trees.get(size) ?? beginning(this.#largest, size);
    this.#trees.set(size, tree);
    return tree;
  }

  #unseen(): number | undefined {
    if (this.#allSeen) return undefined;
    // One look at each before the second at any: a process gets faster as it warms up.
    const looks = this.#sizes.map((size) => this.#times.looks(size));
    const fewest = Math.min(...looks);
    this.#allSeen = fewest >= FIRST_LOOKS;
    return this.#allSeen ? undefined : this.#sizes[looks.indexOf(fewest)];
  }

  #again(): number | undefined {
    if (this.#looking === 0) {
      if (this.#steps - this.#lastLook < EXPLORE_STEPS || this.#allowance < 0) return undefined;
      this.#lastLook = this.#steps;
      this.#turn = (this.#turn + 1) % this.#sizes.length;
      this.#looking = STEPS_OF_A_LOOK;
    }
    return this.#sizes[this.#turn];
  }

  #chosen(): number {
    if (this.#isCurrent) return this.#choice;
    this.#isCurrent = true;
    const expected = expectedTokensBySize(this.#largest, this.#statistics);
    const seconds = this.#times.estimates(this.#sizes);
    const [overhead] = this.#overhead.estimates([0]);
    const rates = this.#sizes.map((size, i) => expected[size]! / (seconds[i]! + overhead!));
    const fastest = Math.max(...rates);
    this.#choice = this.#sizes[rates.findIndex((rate) => ALIKE * rate >= fastest)]!;
    return this.#choice;
  }
}
