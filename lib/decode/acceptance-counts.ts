/** Trials after which older ones count half, so that estimates follow the text. */
const MEMORY = 512;

/** Trials of all kinds together that are made up as if priors were right. */
const TRUST = 2;

/**
 * Estimates probabilities of many kinds of drafts by counting. Every kind begins with some trials that a prior makes up. In a text
 * whose drafts are accepted less often than the priors say, all priors count as that much lower.
 */
export class AcceptanceCounts {
  readonly #accepted: Float64Array;
  readonly #tried: Float64Array;
  /** Trials of all kinds that were accepted, and that would have been if the priors were right. */
  #allAccepted = TRUST;
  #allExpected = TRUST;

  /**
   * @param priors prior probability of each kind
   * @param weight trials that a prior stands for
   */
  constructor(
    private readonly priors: Float64Array,
    private readonly weight: number,
  ) {
    this.#accepted = new Float64Array(priors.length);
    this.#tried = new Float64Array(priors.length);
  }

  probability(kind: number): number {
    const prior = this.priors[kind]! * Math.min(1, this.#allAccepted / this.#allExpected);
    return (this.#accepted[kind]! + this.weight * prior) / (this.#tried[kind]! + this.weight);
  }

  observe(kind: number, isAccepted: boolean): void {
    this.#allAccepted += Number(isAccepted);
    this.#allExpected += this.priors[kind]!;
    if (this.#allExpected >= MEMORY) {
      this.#allAccepted /= 2;
      this.#allExpected /= 2;
    }
    if (isAccepted) this.#accepted[kind]!++;
    if (++this.#tried[kind]! < MEMORY) return;
    this.#accepted[kind]! /= 2;
    this.#tried[kind]! /= 2;
  }
}
