import { RecentDurations } from './recent-durations';

/** Lengths of the windows. */
const KEPT_OF_PACE = 9;
const KEPT_OF_SIZES = 24;

/**
 * Measured step times by tree size. The pace of a machine changes more often than a size is measured. So steps of the size in
 * use measure the pace, and trials measure their size relative to the current pace. Other load only lengthens steps, so the
 * faster measurements count. A larger tree never takes less time than a smaller one.
 */
export class StepTimes {
  /** Seconds at pace 1, by size. */
  readonly #sizes = new Map<number, RecentDurations>();
  readonly #pace = new RecentDurations(KEPT_OF_PACE);

  /**
   * Counts one step.
   * @param isTrial whether the step measures its size rather than the pace
   */
  observe(size: number, seconds: number, isTrial: boolean): void {
    const known = this.#sizes.get(size) ?? new RecentDurations(KEPT_OF_SIZES);
    this.#sizes.set(size, known);
    if (isTrial) known.add(seconds / this.#pace.value);
    else this.#pace.add(seconds / known.value);
  }

  /** Number of measurements of a size in the window. */
  samples(size: number): number {
    return this.#sizes.get(size)?.count ?? 0;
  }

  /**
   * Estimates the seconds of a step of each size.
   * @param sizes in rising order, each measured at least once
   */
  estimates(sizes: readonly number[]): number[] {
    // Neighbours in the wrong order share their mean (isotonic regression by pooling adjacent violators).
    const pools: { seconds: number; count: number }[] = [];
    for (const size of sizes) {
      let pool = { seconds: this.#pace.value * this.#sizes.get(size)!.value, count: 1 };
      for (let last = pools.at(-1); last && last.seconds >= pool.seconds; last = pools.at(-1)) {
        const count = last.count + pool.count;
        pool = { seconds: (last.seconds * last.count + pool.seconds * pool.count) / count, count };
        pools.pop();
      }
      pools.push(pool);
    }
    return pools.flatMap(({ seconds, count }) => new Array<number>(count).fill(seconds));
  }
}
