import { RecentDurations } from './recent-durations';

/** Measurements that count. */
const KEPT_OF_PACE = 9;
const KEPT_OF_SIZES = 24;

/**
 * How long a step takes by the size of its tree, as measured. Machines change their pace while sizes are tried seldom, so
 * steps of the size in use tell of the pace, and trials tell of their size: relative to the pace of that moment. Whatever else
 * runs on the machine makes steps longer, never shorter, so the faster ones tell; and a larger tree never takes less than a
 * smaller one.
 */
export class StepTimes {
  /** By size: seconds at pace 1. */
  readonly #sizes = new Map<number, RecentDurations>();
  readonly #pace = new RecentDurations(KEPT_OF_PACE);

  /**
   * Counts one step.
   * @param isTrial whether it tells of its size, rather than of the pace
   */
  observe(size: number, seconds: number, isTrial: boolean): void {
    const known = this.#sizes.get(size) ?? new RecentDurations(KEPT_OF_SIZES);
    this.#sizes.set(size, known);
    if (isTrial) known.add(seconds / this.#pace.value);
    else this.#pace.add(seconds / known.value);
  }

  /** How many measurements of a size there are, as far as they are remembered. */
  samples(size: number): number {
    return this.#sizes.get(size)?.count ?? 0;
  }

  /**
   * Seconds for each of some sizes.
   * @param sizes rising, each measured at least once
   */
  estimates(sizes: readonly number[]): number[] {
    // Neighbours in the wrong order are one measurement of both (isotonic regression, pool adjacent violators).
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
