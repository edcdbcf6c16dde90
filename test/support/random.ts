/** Reproducible random numbers (mulberry32). */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 0;
  }

  /** In [0, 1). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  /** In 0 … limit − 1. */
  integer(limit: number): number {
    return Math.floor(this.next() * limit);
  }

  /** Uniform in (−scale, scale). */
  floats(count: number, scale = 1): Float32Array {
    // A loop, because Float32Array.from takes seconds for a vocabulary of real size.
    const values = new Float32Array(count);
    for (let i = 0; i < count; i++) values[i] = (2 * this.next() - 1) * scale;
    return values;
  }
}
