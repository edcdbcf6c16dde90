import type { Candidates } from './best-first';
import { countDrafts, rankDrafts, type DraftRanking } from './draft-ranking';
import { Exploration } from './exploration';
import { HeadWorth } from './head-worth';
import { RecentDurations } from './recent-durations';
import { StepTimes } from './step-times';

/** Measurements of a number of rows before it is compared with others. */
const MINIMUM_SAMPLES = 3;

/** Steps for which estimates of step times are kept, because one step changes them too little to pay for new ones. */
const KEPT_STEPS = 16;

/** Speeds within this factor count as equal, because measurements cannot tell them apart. */
const NOISE = 1.02;

/** The drafts of a step. */
export interface DraftChoice {
  /** Rows of the step, padding included. */
  readonly rows: number;
  /** `[sequences]`: drafts of each sequence, the first of its candidates. */
  readonly drafts: readonly number[];
}

/** The outcome of a step, from which a budget learns. */
export interface BudgetOutcome {
  readonly choice: DraftChoice;
  /** Wall-clock time from one step's end to the next one's. */
  readonly seconds: number;
  /** The part of that time that the device took, without drafting. */
  readonly deviceSeconds: number;
  /** The part in which heads drafted for the next step; null if they did not. */
  readonly draftSeconds: number | null;
  /** Whether the step was the first of its form, which takes longer than later ones. */
  readonly isFirst: boolean;
}

/**
 * Chooses how many drafts a step verifies, for all its sequences together: as many as give the most tokens per second, with the
 * probabilities of these drafts and the step times measured on this machine with this model. One choice is to verify no drafts.
 */
export class DraftBudget {
  /** Device time of a step by its rows. */
  readonly #times = new StepTimes();
  /** Time in which heads draft. */
  readonly #drafting = new RecentDurations(9);
  /** Time of a step beside the device's, the same for all sizes. */
  readonly #overhead = new RecentDurations(9);
  readonly #exploration = new Exploration();
  readonly #worth = new HeadWorth();
  /** Estimates of the above. By size: device time of a step, without drafting; 0 until it is measured. */
  readonly #seconds: Float64Array;
  #overheadSeconds = 0;
  #draftSeconds = 0;
  #steps = 0;
  /** Whether heads drafted for the present step. */
  #hasDrafted = false;
  /** Whether the present step measures a size that is not known yet. */
  #isMeasuring = false;
  /** By which part the present choice is slower than the best one. */
  #shortfall = 0;
  /** By which part drafts of heads make the present step faster; null without them. */
  #gain: number | null = null;

  /** @param sizes numbers of rows that a step may have, in rising order */
  constructor(private readonly sizes: readonly number[]) {
    this.#seconds = new Float64Array(sizes.length);
  }

  /** Whether heads should draft for the next step; false while their drafts do not pay. */
  get wantsDrafts(): boolean {
    return this.#worth.wantsDrafts;
  }

  /**
   * Chooses the drafts of a step.
   * @param candidates drafts of each sequence, of at most as many sequences as the largest size
   */
  choose(candidates: readonly Candidates[]): DraftChoice {
    const count = candidates.length;
    const ranking = rankDrafts(candidates, this.sizes.at(-1)! - count);
    const first = this.sizes.findIndex((rows) => rows >= count);
    // The first size with room for all drafts is the last that may pay.
    const last = this.sizes.findIndex((rows) => rows >= count + ranking.sequences.length);
    const unmeasured = this.#unmeasured(first, last);
    this.#isMeasuring = unmeasured >= 0;
    this.#shortfall = 0;
    this.#gain = null;
    const rows = this.sizes[unmeasured >= 0 ? unmeasured : this.#compare(first, last, ranking, count)]!;
    return { rows, drafts: countDrafts(ranking.sequences, rows - count, count) };
  }

  /** Returns the size from `first` to `last` with the fewest measurements, by index; -1 if all have enough. */
  #unmeasured(first: number, last: number): number {
    // Measure every size once before any size twice: a process gets faster as it warms up.
    let least = -1;
    let fewest = MINIMUM_SAMPLES;
    for (let i = first; i <= last; i++) {
      const samples = this.#times.samples(this.sizes[i]!);
      if (samples < fewest) [least, fewest] = [i, samples];
    }
    return least;
  }

  /** Returns the size from `first` to `last` that is best or explored, by index. */
  #compare(first: number, last: number, ranking: DraftRanking, count: number): number {
    const { accepted, acceptedWithoutHeads } = ranking;
    const sizes = this.sizes.slice(first, last + 1);
    const seconds = this.#seconds.subarray(first, last + 1);
    if (this.#steps % KEPT_STEPS === 0 || seconds.includes(0)) this.#estimate();
    const overhead = this.#overheadSeconds;
    const fixed = this.#hasDrafted ? overhead + this.#draftSeconds : overhead;
    const rates = ratesOf(accepted, sizes, seconds, fixed, count);
    const fastest = Math.max(...rates);
    if (this.#hasDrafted) {
      const without = ratesOf(acceptedWithoutHeads, sizes, seconds, overhead, count);
      this.#gain = fastest / Math.max(...without) - 1;
    }
    const best = firstOf(rates, fastest);
    const others = rates.map((rate, i) => (i === best ? 0 : rate));
    const runnerUp = sizes[firstOf(others, Math.max(...others))]!;
    const explored = sizes.indexOf(this.#exploration.next(sizes, runnerUp) ?? sizes[best]!);
    // An explored size may have no room for these sequences.
    const chosen = explored < 0 ? best : explored;
    this.#shortfall = Math.max(0, 1 - rates[chosen]! / rates[best]!);
    return first + chosen;
  }

  #estimate(): void {
    const measured = this.sizes.filter((rows) => this.#times.samples(rows) > 0);
    const estimates = this.#times.estimates(measured);
    measured.forEach((rows, i) => (this.#seconds[this.sizes.indexOf(rows)] = estimates[i]!));
    this.#overheadSeconds = this.#overhead.value;
    this.#draftSeconds = this.#drafting.count > 0 ? this.#drafting.value : 0;
  }

  observe({ choice, seconds, deviceSeconds, draftSeconds, isFirst }: BudgetOutcome): void {
    this.#steps++;
    const { rows } = choice;
    const lost = isFirst ? seconds : seconds * this.#shortfall;
    const isExploring = !this.#isMeasuring && this.#exploration.observe(seconds, lost);
    this.#worth.observe(this.#gain);
    this.#hasDrafted = draftSeconds !== null;
    if (isFirst) return;
    this.#times.observe(rows, deviceSeconds, isExploring || this.#isMeasuring);
    this.#overhead.add(seconds - deviceSeconds - (draftSeconds ?? 0));
    if (draftSeconds !== null) this.#drafting.add(draftSeconds);
  }
}

/**
 * Returns the tokens per second of each size.
 * @param accepted `[n]`: how many of the first n drafts are expected to be accepted
 * @param fixed seconds that steps of all sizes take
 */
function ratesOf(
  accepted: readonly number[],
  sizes: readonly number[],
  seconds: Float64Array,
  fixed: number,
  count: number,
): number[] {
  return sizes.map((rows, i) => {
    const drafts = Math.min(rows - count, accepted.length - 1);
    return (count + accepted[drafts]!) / (seconds[i]! + fixed);
  });
}

/** Returns the index of the first rate, that of the smallest size, that is as good as the fastest within the noise. */
function firstOf(rates: readonly number[], fastest: number): number {
  return rates.findIndex((rate) => NOISE * rate >= fastest);
}
