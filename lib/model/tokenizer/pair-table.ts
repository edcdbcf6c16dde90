const EMPTY = -1;

/** Maps pairs of non-negative integers to non-negative integers: a hash table in typed arrays, a fifth of a `Map`'s size. */
export class PairTable {
  #capacity: number;
  #lefts: Int32Array;
  #rights: Int32Array;
  #values: Int32Array;
  #size = 0;

  /** @param expected number of pairs; the table grows beyond it */
  constructor(expected: number) {
    this.#capacity = 2 ** Math.ceil(Math.log2(Math.max(8, 2 * expected)));
    this.#lefts = new Int32Array(this.#capacity).fill(EMPTY);
    this.#rights = new Int32Array(this.#capacity);
    this.#values = new Int32Array(this.#capacity);
  }

  /** Returns the value of a pair, or -1. */
  get(left: number, right: number): number {
    const at = this.#find(left, right);
    return this.#lefts[at] === EMPTY ? EMPTY : this.#values[at]!;
  }

  set(left: number, right: number, value: number): void {
    if (2 * this.#size >= this.#capacity) this.#grow();
    const at = this.#find(left, right);
    if (this.#lefts[at] === EMPTY) this.#size += 1;
    this.#lefts[at] = left;
    this.#rights[at] = right;
    this.#values[at] = value;
  }

  /** Returns the place of a pair, or the empty place where it belongs. */
  #find(left: number, right: number): number {
    const mask = this.#capacity - 1;
    const hash = Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b);
    let at = (hash ^ (hash >>> 15)) & mask;
    while (this.#lefts[at] !== EMPTY && (this.#lefts[at] !== left || this.#rights[at] !== right)) {
      at = (at + 1) & mask;
    }
    return at;
  }

  #grow(): void {
    const [lefts, rights, values] = [this.#lefts, this.#rights, this.#values];
    const larger = new PairTable(this.#capacity);
    for (const [i, left] of lefts.entries()) {
      if (left !== EMPTY) larger.set(left, rights[i]!, values[i]!);
    }
    this.#capacity = larger.#capacity;
    this.#lefts = larger.#lefts;
    this.#rights = larger.#rights;
    this.#values = larger.#values;
  }
}
