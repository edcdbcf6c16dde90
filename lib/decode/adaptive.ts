import { RecentDurations } from './recent-durations';
import { Exploration, TRIAL_STEPS } from './exploration';
import type { Planner, StepOutcome } from './planner';
import { isTimeToReplan, RankPathStatistics } from './rank-path-statistics';
import { StepTimes } from './step-times';
import { beginning, best, expectedTokensBySize } from './tree';
import type { TreePlan } from './tree-plan';

/** Tree sizes to choose from: draft nodes without the root. */
const SIZES = [0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 63];

/** Measurements of every size before the first choice. */
const MINIMUM_SAMPLES = 3;

/**
 * Speeds within this factor count as equal, because the measurements cannot tell them apart. Of equal sizes the smallest is
 * chosen: larger trees are more often slower in use than in their trial.
 */
const NOISE = 1.02;

/**
 * Chooses the tree size with the most expected tokens per second: acceptance counted so far, over step time measured so far on
 * this machine with this model. Plain decoding is one of the sizes, so speculation stops when it does not pay.
 */
export class AdaptivePlanner implements Planner {
  readonly #statistics: RankPathStatistics;
  readonly #sizes: readonly number[];
  /** Device time per step, by tree size. */
  readonly #times = new StepTimes();
  /** Time per step beside the device time, the same for every size. */
  readonly #overhead = new RecentDurations(9);
  #steps = 0;
  #allMeasured = false;
  readonly #exploration = new Exploration();
  /** Trees by size, planned from the statistics and kept for some steps. */
  readonly #trees = new Map<number, TreePlan>();
  #largest: TreePlan;
  /** Expected tokens per second by size, computed again with the trees. */
  #rates: ReadonlyMap<number, number> | null = null;
  /** The size in use. */
  #choice = 0;
  /** The second fastest size. */
  #runnerUp = 0;
  /** Steps that still measure the size in use, because it is new. */
  #trial = 0;

  constructor(
    maxNodes: number,
    readonly maxDepth: number,
    vocabSize: number,
  ) {
    this.#statistics = new RankPathStatistics(maxDepth, vocabSize);
    // Shallow trees have fewer nodes than maxNodes.
    this.#largest = best(maxNodes, this.#statistics);
    const largest = this.#largest.parents.length - 1;
    this.#sizes = SIZES.filter((size) => size <= largest);
  }

  next(): TreePlan {
    if (isTimeToReplan(this.#steps)) {
      this.#trees.clear();
      this.#largest = best(this.#sizes.at(-1)!, this.#statistics);
      this.#rates = null;
    }
    const unmeasured = this.#unmeasured();
    if (unmeasured !== undefined) return this.#tree(unmeasured);
    if (!this.#rates) this.#choose();
    return this.#tree(this.#exploration.next(this.#sizes, this.#runnerUp) ?? this.#choice);
  }

  observe({ plan, path, seconds, deviceSeconds, isFirst }: StepOutcome): void {
    this.#steps++;
    const size = plan.parents.length - 1;
    let isTrial = true;
    if (this.#allMeasured) {
      const isExploring = this.#exploration.observe(
        seconds,
        isFirst ? seconds : seconds * this.#shortfall(size),
      );
      isTrial = isExploring || this.#trial > 0;
      if (!isExploring && this.#trial > 0) this.#trial--;
    }
    this.#statistics.observe(plan, path);
    if (isFirst) return;
    this.#times.observe(size, deviceSeconds, isTrial);
    this.#overhead.add(seconds - deviceSeconds);
  }

  #tree(size: number): TreePlan {
    const tree = this.#trees.get(size) ?? beginning(this.#largest, size);
    this.#trees.set(size, tree);
    return tree;
  }

  #unmeasured(): number | undefined {
    if (this.#allMeasured) return undefined;
    // Measure every size once before any size twice: a process gets faster as it warms up.
    const samples = this.#sizes.map((size) => this.#times.samples(size));
    const fewest = Math.min(...samples);
    this.#allMeasured = fewest >= MINIMUM_SAMPLES;
    return this.#allMeasured ? undefined : this.#sizes[samples.indexOf(fewest)];
  }

  #choose(): void {
    const expected = expectedTokensBySize(this.#largest, this.#statistics);
    const seconds = this.#times.estimates(this.#sizes);
    const rates = this.#sizes.map((size, i) => expected[size]! / (seconds[i]! + this.#overhead.value));
    this.#rates = new Map(this.#sizes.map((size, i) => [size, rates[i]!]));
    const fastest = Math.max(...rates);
    const choice = this.#sizes[rates.findIndex((rate) => NOISE * rate >= fastest)]!;
    if (choice !== this.#choice) this.#trial = TRIAL_STEPS;
    this.#choice = choice;
    const others = this.#sizes.filter((size) => size !== choice);
    this.#runnerUp = others.toSorted((a, b) => this.#rate(b) - this.#rate(a))[0] ?? choice;
  }

  #rate(size: number): number {
    return this.#rates!.get(size)!;
  }

  /** By which part a size is slower than the one in use: measuring a nearly equal size costs nearly nothing. */
  #shortfall(size: number): number {
    return Math.max(0, 1 - this.#rate(size) / this.#rate(this.#choice));
  }
}
