/** Trials after which older ones count half, so that estimates follow the text. */
const MEMORY = 512;

/** Estimates probabilities of many kinds of drafts by counting. Every kind begins with some trials that a prior makes up. */
export class AcceptanceCounts {
  readonly #accepted: Float64Array;
  readonly #tried: Float64Array;

  /**
   * @param priors prior probability of each kind
   * @param weight trials that a prior stands for
   */
  constructor(priors: Float64Array, weight: number) {
    this.#accepted = priors.map((prior) => prior * weight);
    this.#tried = new Float64Array(priors.length).fill(weight);
  }

  probability(kind: number): number {
    return this.#accepted[kind]! / this.#tried[kind]!;
  }

  observe(kind: number, isAccepted: boolean): void {
    if (isAccepted) this.#accepted[kind]!++;
    if (++this.#tried[kind]! < MEMORY) return;
    this.#accepted[kind]! /= 2;
    this.#tried[kind]! /= 2;
  }
}
