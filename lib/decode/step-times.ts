/** Measurements of one size that count: the latest ones. */
const KEPT = 9;

/**
 * How long a step takes by the size of its tree, as measured. Whatever else runs on the machine makes steps longer, never
 * shorter, so the faster ones of a size tell its time; and a larger tree never takes less than a smaller one.
 */
export class StepTimes {
  /** By size: the latest measurements, oldest first. */
  readonly #measured = new Map<number, number[]>();

  /** Counts one step. */
  observe(size: number, seconds: number): void {
    const measured = this.#measured.get(size) ?? [];
    this.#measured.set(size, measured);
    measured.push(seconds);
    if (measured.length > KEPT) measured.shift();
  }

  /** How many measurements of a size there are; no more than {@link KEPT} are remembered. */
  looks(size: number): number {
    return this.#measured.get(size)?.length ?? 0;
  }

  /**
   * Seconds for each of some sizes.
   * @param sizes rising, each measured at least once
   */
  estimates(sizes: readonly number[]): number[] {
    // Neighbours in the wrong order are one measurement of both (isotonic regression, pool adjacent violators).
    const pools: { seconds: number; count: number }[] = [];
    for (const size of sizes) {
      let pool = { seconds: lowerQuartile(this.#measured.get(size)!), count: 1 };
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

function lowerQuartile(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) / 4)]!;
}
