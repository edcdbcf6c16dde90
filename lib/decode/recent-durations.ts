/** The latest measurements of something that may be disturbed, which makes it longer. */
export class RecentDurations {
  readonly #values: number[] = [];
  #value: number | null = 1;

  constructor(
    /** How many of them count. */
    private readonly kept: number,
  ) {}

  get count(): number {
    return this.#values.length;
  }

  /** What they say: their lower quartile, 1 before there are any. */
  get value(): number {
    this.#value ??= this.#values.toSorted((a, b) => a - b)[Math.floor((this.count - 1) / 4)]!;
    return this.#value;
  }

  add(value: number): void {
    this.#values.push(value);
    if (this.#values.length > this.kept) this.#values.shift();
    this.#value = null; // sorted when somebody asks
  }
}
