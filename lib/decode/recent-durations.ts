/** A sliding window of durations; reports the lower quartile, because interference only lengthens a measurement. */
export class RecentDurations {
  readonly #values: number[] = [];
  #value: number | null = 1;

  constructor(
    /** Length of the window. */
    private readonly kept: number,
  ) {}

  get count(): number {
    return this.#values.length;
  }

  /** The lower quartile; 1 while the window is empty. */
  get value(): number {
    this.#value ??= this.#values.toSorted((a, b) => a - b)[Math.floor((this.count - 1) / 4)]!;
    return this.#value;
  }

  add(value: number): void {
    this.#values.push(value);
    if (this.#values.length > this.kept) this.#values.shift();
    this.#value = null; // sorted on demand
  }
}
