/** Steps between two looks, at the least. */
const EXPLORE_STEPS = 128;
/** What looks may cost of the time. */
const EXPLORE_SHARE = 0.01;
const PROBE_STEPS = 2;
/** Enough to tell sizes apart that are nearly as fast. */
export const TRIAL_STEPS = 8;

/**
 * When a size other than the one in use is measured again: machines and contexts change. In turns that is the one that comes
 * next to the one in use, for longer, as it is the one that may turn out to be better, and one of all.
 */
export class Exploration {
  #steps = 0;
  /** Steps that the present look still has. */
  #left = 0;
  #size = 0;
  #count = 0;
  /** Which of the sizes was the last one of all; they take turns. */
  #turn = 0;
  /** Seconds that looks may cost before they have cost their share. */
  #allowance = 0;

  /** The size to look at in the next step, if it is one. */
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
   * @param lost seconds that it would not have taken without the look that it was part of
   * @returns whether it was part of one
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
