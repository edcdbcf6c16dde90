/** Steps that decide whether drafts pay. */
const TRIAL_STEPS = 8;
/** Steps over which the worth is averaged. */
const AVERAGED = 64;
/** Steps without drafts after a trial in which they did not pay; twice as many after every further one. */
const SHORTEST_PAUSE = 128;
const LONGEST_PAUSE = 2048;

/** Decides whether heads draft: they pause while their drafts are not worth the time that they take. */
export class HeadWorth {
  #mean = 0;
  #count = 0;
  #pause = SHORTEST_PAUSE;
  /** Steps of the present pause that are left. */
  #left = 0;

  get wantsDrafts(): boolean {
    return this.#left === 0;
  }

  /**
   * Counts one step.
   * @param worth by which part drafts of heads make the step faster, negative if they make it slower; null for a step without them
   */
  observe(worth: number | null): void {
    if (this.#left > 0) this.#left--;
    else if (worth !== null) this.#add(worth);
  }

  #add(worth: number): void {
    this.#count++;
    this.#mean += (worth - this.#mean) / Math.min(this.#count, AVERAGED);
    if (this.#count < TRIAL_STEPS) return;
    if (this.#mean >= 0) {
      this.#pause = SHORTEST_PAUSE;
      return;
    }
    this.#left = this.#pause;
    this.#pause = Math.min(2 * this.#pause, LONGEST_PAUSE);
    this.#mean = this.#count = 0;
  }
}
