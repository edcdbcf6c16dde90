/** Steps between two explorations at least. */
const EXPLORE_STEPS = 128;
/** Share of the time that exploration may cost. */
const EXPLORE_SHARE = 0.01;
/** Steps that measure a size of no particular interest. */
const PROBE_STEPS = 2;
/** Steps that measure a new size or the runner-up: enough to tell apart sizes of nearly the same speed. */
const TRIAL_STEPS = 8;

/**
 * Schedules measurements of sizes that are not in use, because machines and contexts change. Alternates between the runner-up
 * and all sizes in turn. The runner-up is measured for longer: it is the size most likely to turn out faster.
 */
export class Exploration {
  #steps = 0;
  /** Steps left of the present exploration. */
  #left = 0;
  #size = 0;
  #count = 0;
  /** Index of the size that had the last turn. */
  #turn = 0;
  /** Seconds that exploration may still cost. */
  #allowance = 0;

  /** Returns the size to measure in the next step; undefined if the next step should use the chosen size. */
  next(sizes: readonly number[], runnerUp: number): number | undefined {
    if (this.#left === 0) {
      if (this.#steps < EXPLORE_STEPS || this.#allowance < 0) return undefined;
      this.#steps = 0;
      const atRunnerUp = this.#count++ % 2 === 0;
      if (!atRunnerUp) this.#turn = (this.#turn + 1) % sizes.length;
      this.#size = atRunnerUp ? runnerUp : sizes[this.#turn]!;
      this.#left = atRunnerUp ? TRIAL_STEPS : PROBE_STEPS;
    }
    return this.#size;
  }

  /**
   * Counts one step.
   * @param lost seconds that the step cost more than one of the chosen size, if it explored
   * @returns whether the step explored
   */
  observe(seconds: number, lost: number): boolean {
    this.#steps++;
    const isExploring = this.#left > 0;
    if (isExploring) {
      this.#left--;
      this.#allowance -= lost;
    } else {
      this.#allowance += EXPLORE_SHARE * seconds;
    }
    return isExploring;
  }
}
